// See instruct_manifest.h.
#include "data/instruct_manifest.h"
#include "core/files/fs.h"
#include "core/hash.h"
#include "data/csv.h"
#include "data/shard_folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void instruct_account_free(instruct_account *a) {
    buffer_free(&a->shards);
    buffer_free(&a->hashes);
    buffer_free(&a->skipped);
    buffer_free(&a->reason);
}

// --- before the work ----------------------------------------------------------------------------

// A hash of all that the records depend on.
static status make_plan(instruct_account *a, const instruct_source *from,
                        const instruct_options *o) {
    buffer text = {0};
    const tokenizer_ids named = tokenizer_named(o->tokenizer);
    instruct_facts_print(&text, &o->facts);
    buffer_print(&text, "\n%d %" PRId64 " %d %d", INSTRUCT_VERSION, o->shard_rows, named.begin,
                 named.end);
    for (int k = 0; k < SPLIT_COUNT; k++) buffer_print(&text, " %" PRId64, from->rows[k]);
    snprintf(a->plan, sizeof a->plan, "%016" PRIx64, hash_bytes(hash_start, text.data, text.length));
    const status rc = text.failed;
    buffer_free(&text);
    return rc;
}

status instruct_prepare(instruct_account *a, const instruct_source *from,
                        const instruct_options *o) {
    static const char *const header[] = {"split", "row", "id", "reason", "detail"};
    shard_plan plan = {.hash = a->plan, .shard_rows = o->shard_rows};
    memcpy(plan.rows, from->rows, sizeof plan.rows);
    status rc = make_plan(a, from, o);
    if (!rc) rc = shard_folder_prepare(o->out, &plan);
    csv_write_row(&a->skipped, header, 5);
    return rc ? rc : a->skipped.failed;
}

// --- the account --------------------------------------------------------------------------------

static status account_skipped(instruct_summary *sum, instruct_account *a, const instruct_shard *s) {
    for (size_t i = 0; i < s->skipped_reason.count; i++) {
        const char *reason = text_column_at(&s->skipped_reason, i);
        const char *detail = text_column_at(&s->skipped_detail, i);
        char row[24];
        int why = 1;
        while (why < INSTRUCT_SKIPS && strcmp(instruct_skip_names[why], reason)) why++;
        if (why == INSTRUCT_SKIPS)
            return status_fail(STATUS_FORMAT, "%s: unknown reason %.40s", s->path, reason);
        snprintf(row, sizeof row, "%" PRId64, s->skipped_row[i]);
        const char *const fields[] = {split_names[s->split], row, text_column_at(&s->skipped_id, i),
                                      reason, detail};
        csv_write_row(&a->skipped, fields, 5);
        if (!sum->skipped_total++) buffer_text(&a->reason, detail);
        sum->skipped[why]++;
    }
    return a->skipped.failed ? a->skipped.failed : a->reason.failed;
}

status instruct_account_shard(instruct_summary *sum, instruct_account *a, const instruct_shard *s,
                              const char *name, int cutoff) {
    const char *before = sum->shards ? ",\n" : "";
    buffer_print(&a->shards,
                 "%s    {\"file\": \"%s\", \"split\": \"%s\", \"records\": %" PRId64 "}", before,
                 name, split_names[s->split], s->records);
    buffer_print(&a->hashes, ",\n    \"%s\": \"%08x\"", name, s->seal);
    sum->shards++;
    sum->records += s->records;
    sum->splits[s->split] += s->records;
    for (int64_t i = 0; i < s->records; i++) {
        sum->tokens += s->length[i];
        sum->supervised += s->supervised[i];
        sum->full += s->length[i] == cutoff;
        if (s->length[i] > sum->longest) sum->longest = s->length[i];
    }
    status rc = account_skipped(sum, a, s);
    if (!rc) rc = a->shards.failed;
    return rc ? rc : a->hashes.failed;
}

static void print_manifest(buffer *b, const instruct_summary *s, const instruct_account *a,
                           const instruct_options *o) {
    const char *before = "";
    buffer_print(b, "{\n  \"format\": \"radialog-instruct\",\n  \"version\": %d,\n",
                 INSTRUCT_VERSION);
    buffer_print(b, "  \"records\": %" PRId64 ",\n  \"splits\": {", s->records);
    for (int k = 0; k < SPLIT_COUNT; k++)
        buffer_print(b, "%s\"%s\": %" PRId64, k ? ", " : "", split_names[k], s->splits[k]);
    buffer_print(b, "},\n  \"tokens\": %" PRId64 ",\n  \"supervised\": %" PRId64 ",\n", s->tokens,
                 s->supervised);
    buffer_print(b, "  \"longest\": %" PRId64 ",\n  \"full\": %" PRId64 ",\n  \"skipped\": {",
                 s->longest, s->full);
    for (int i = 1; i < INSTRUCT_SKIPS; i++) {
        if (!s->skipped[i]) continue;
        buffer_print(b, "%s\"%s\": %" PRId64, before, instruct_skip_names[i], s->skipped[i]);
        before = ", ";
    }
    buffer_text(b, "},\n");
    instruct_facts_print(b, &o->facts);
    buffer_print(b, ",\n  \"shards\": [\n%s\n  ],\n", a->shards.data);
    buffer_print(b, "  \"hashes\": {\n    \"plan\": \"%s\"%s\n  }\n}\n", a->plan, a->hashes.data);
}

status instruct_manifest_write(const instruct_summary *sum, const instruct_account *a,
                               const instruct_options *o) {
    buffer b = {0};
    if (!sum->records)
        return status_fail(STATUS_FORMAT, "no record is left for %s%s%s", o->out,
                           a->reason.length ? "; the first that was left out: " : "",
                           a->reason.length ? a->reason.data : "");
    status rc = file_sync(o->out);
    if (!rc) rc = shard_folder_write(o->out, "skipped.csv", &a->skipped);
    if (!rc) print_manifest(&b, sum, a, o);
    if (!rc) rc = shard_folder_write(o->out, "manifest.json", &b);
    buffer_free(&b);
    return rc;
}
