// What stands in a folder of instruct data beside the shards: the account of them, manifest.json,
// which is written last, and skipped.csv; and the check that a folder is fit to be worked in. For
// data/instruct_write.c.
#pragma once
#include "data/instruct_private.h"

typedef struct instruct_account {
    char plan[PLAN_SIZE];
    buffer shards, hashes; // manifest.json's lists
    buffer skipped;        // skipped.csv
    buffer reason;         // of the first skipped row
} instruct_account;
void instruct_account_free(instruct_account *a);

// Fills in the plan; removes what a killed run left unfinished; FORMAT where the folder holds
// shards of another plan, or a manifest of one.
status instruct_prepare(instruct_account *a, const instruct_source *from,
                        const instruct_options *o);
// Adds shard S, called NAME.
status instruct_account_shard(instruct_summary *sum, instruct_account *a, const instruct_shard *s,
                              const char *name, int cutoff);
// FORMAT if there is no record.
status instruct_manifest_write(const instruct_summary *sum, const instruct_account *a,
                               const instruct_options *o);
