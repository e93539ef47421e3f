// The scores of written reports in one list: clinical ones (eval/clinical.h), those of words (eval/bleu.h,
// eval/meteor.h, eval/rouge.h) and the share of invented comparisons (eval/controls.h), each a function of sums over
// reports, so that all have intervals and tests (eval/intervals.h). Called by the evaluate command.
#pragma once
#include "eval/bleu.h"
#include "eval/clinical.h"
#include "eval/intervals.h"
#include "eval/meteor.h"
#include "eval/sentences.h"

//  X(name in C, in tables, in JSON)
#define REPORT_SCORE_LIST(X)                                                                       \
    X(CE, "CE", "clinical_f1")          /* macro F1 over 14 findings: the paper's */               \
    X(CE_MICRO, "CE micro", "clinical_f1_micro")                                                   \
    X(CE_FIVE, "CE of 5", "clinical_f1_five")                                                      \
    X(CE_SAMPLES, "CE samples", "clinical_f1_samples")                                             \
    X(CE_WEIGHTED, "CE weighted", "clinical_f1_weighted")                                          \
    X(CE_PRECISION, "precision", "clinical_precision")                                             \
    X(CE_RECALL, "recall", "clinical_recall")                                                      \
    X(SIMILARITY, "similarity", "chexbert_similarity") /* of the labeler's vectors */             \
    X(BERT, "BS", "bert_score") /* BERTScore's F1 */                                               \
    X(BLEU_1, "B-1", "bleu_1")                                                                     \
    X(BLEU_2, "B-2", "bleu_2")                                                                     \
    X(BLEU_3, "B-3", "bleu_3")                                                                     \
    X(BLEU_4, "B-4", "bleu_4")                                                                     \
    X(METEOR, "MTR", "meteor")                                                                     \
    X(ROUGE_L, "R-L", "rouge_l")                                                                   \
    X(PRIORS, "priors", "invented_comparisons") /* compares where the real report does not */

typedef enum report_score {
#define X(name, text, key) SCORE_##name,
    REPORT_SCORE_LIST(X)
#undef X
    REPORT_SCORES
} report_score;
extern const char *const report_score_names[REPORT_SCORES], *const report_score_keys[REPORT_SCORES];

// Columns of a report's statistics.
enum {
    REPORT_BLEU = 0,
    REPORT_METEOR = REPORT_BLEU + BLEU_STATISTICS,
    REPORT_ROUGE = REPORT_METEOR + METEOR_STATISTICS,
    REPORT_PRIORS, // 1: the text compares with an earlier film, the reference does not (eval/controls.h)
    REPORT_SIMILARITY, // with report_set
    REPORT_BERT,
    REPORT_CLINICAL,
    REPORT_STATISTICS = REPORT_CLINICAL + CLINICAL_STATISTICS
};

// Of the sums of such rows; CONTEXT is the mapping, a clinical_mapping.
score_function report_score_of;

// How scores are taken: where sentences end, which words METEOR matches, what counts as a finding.
typedef struct report_protocol {
    punkt *sentences;
    meteor *meteor;
    clinical_mapping mapping;
} report_protocol;

// OUT (COUNT, REPORT_STATISTICS) of TEXT and REFERENCE (COUNT), and of what a labeler reads in them, SAID
// and TRUTH (COUNT, CLASS_COUNT). What models say of both is not known yet: NaN until report_set gives it. Errors: FORMAT (a label that is none), MEMORY.
status report_statistics(double *out, const char *const *text, const char *const *reference,
                         const int8_t *said, const int8_t *truth, int64_t count,
                         const report_protocol *p);

// Sets COLUMN of OUT (COUNT, REPORT_STATISTICS) to VALUE (COUNT).
void report_set(double *out, int column, const double *value, int64_t count);

// How many different texts there are.
status report_distinct(int64_t *distinct, const char *const *text, int64_t count);
