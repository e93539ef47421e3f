// The tokens of many texts, held in memory: cleaned and tokenised once by several threads, then
// handed out by record and packed behind each other as batches without padding. For every stage
// that reads reports; what a batch holds is data/order.h's business.
#pragma once
#include "data/dataset.h"
#include "data/wordpiece.h"

// What is done to a text before it is tokenised.
typedef enum text_rule {
    TEXT_CAPTION, // of the aligner (REFERENCE 4.7): findings_clean of data/sections.h
    TEXT_REPORT   // of CheXbert (7.5): report_clean
} text_rule;

typedef struct text_options {
    text_rule rule;
    // Ids of a text with its [CLS] and [SEP], 2 at least: a longer one keeps [CLS], its first MOST
    // - 2 tokens and [SEP]. So does CheXbert, which takes 511 ids, and [SEP], of what already
    // begins with [CLS].
    int most;
    int threads;
} text_options;

typedef struct text_set text_set;

// The texts KIND of RECORDS (count, none twice). A missing one is empty; what is empty when cleaned
// has the ids [CLS] [SEP]. SET, W and RECORDS are used while opening only. Any number of threads
// gives the same. Errors: IO, FORMAT (a shard that was cut short), MEMORY.
status texts_open(text_set **out, const dataset *set, const int64_t *records, int64_t count,
                  record_text kind, const wordpiece *w, const text_options *options);
// The same of TEXT (count); records are numbered from 0, each of a study of its own.
status texts_open_list(text_set **out, const char *const *text, int64_t count, const wordpiece *w,
                       const text_options *options);
void texts_close(text_set *t); // accepts NULL

int64_t texts_count(const text_set *t);
int64_t texts_truncated(const text_set *t); // how many of them were longer than MOST
int texts_longest(const text_set *t);       // ids of the longest as kept
int64_t texts_total(const text_set *t);     // ids of all

// The ids of RECORD, *COUNT of them; borrowed. The functions below die of a record that is not
// there.
const int32_t *texts_of(const text_set *t, int64_t record, int *count);

// Records with equal cleaned texts have equal numbers, others have not: from 0 on, in the order of
// first appearance. Studies likewise, by study_id; a record without one is a study of its own.
int32_t texts_group(const text_set *t, int64_t record);
int32_t texts_study(const text_set *t, int64_t record);
int32_t texts_groups(const text_set *t); // how many there are
int32_t texts_studies(const text_set *t);

// The texts of RECORD (n) behind each other: returns how many ids, at most n * texts_longest.
// ID (total): the ids; FIRST (n + 1): where each text begins, and the total. A record may come
// twice.
int64_t texts_pack(int32_t *id, int32_t *first, const text_set *t, const int64_t *record,
                   int64_t n);
