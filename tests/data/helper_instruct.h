// A small data set of reports, a tokenizer and prompts for the tests of instruct data.
#pragma once
#include "data/report_source.h"
#include "tests/data/helper_shard.h"

enum { REPORTS = 24, REPORTS_TRAIN = 15, REPORTS_VALIDATED = 18, IMAGE_TOKENS = 4, CUTOFF = 300 };

// Opened by instruct_fixture_open in this program's folder, where they are made once.
extern dataset *report_set;
extern tokenizer *report_tokenizer; // with the image token
extern int32_t report_image_token;
extern prompts *report_prompts;
void instruct_fixture_open(void);
void instruct_fixture_close(void);

typedef struct ids {
    int32_t id[4096];
    int64_t count;
} ids;

// The ids of TEXT: the begin token first, if there is one, and nothing behind.
ids encode(const char *text);

// The findings of record I, as its source has them; "" for one of them.
const char *report_of(int64_t i);

// All records that have a report, prompts by labels.
report_source report_rows(void);
void report_rows_free(report_source *s);
// A path in this program's folder that holds for good.
const char *kept(const char *name);
// What goes with them: one thread, CUTOFF ids, small shards, into the folder OUT of this program.
instruct_options instruct_options_of_tests(const char *out);
// Writes ROWS as OUT; fails unless that ends with EXPECTED.
instruct_summary expect_instruct(const instruct_source *rows, const instruct_options *o,
                                 status expected);
instruct_set *open_instruct(const char *folder);
