// Answers to questions about findings (REFERENCE 7.10): what they say, and how right that is. Pure
// functions, called by the ask command. Reports are scored elsewhere (eval/clinical.h).
#pragma once
#include "eval/clinical.h"

// Whether an answer says yes: the letters stand anywhere in it, small or large.
bool answer_says_yes(const char *text);
// The classes whose names stand in an answer, small or large.
void answer_names(bool positive[CLASS_COUNT], const char *text);
// No Finding becomes what the others say: none of them is positive. Support Devices count as one.
void answers_settle(bool positive[CLASS_COUNT]);

//  X(name in C, in tables, in JSON)
#define FINDINGS_SCORE_LIST(X)                                                                     \
    X(F1, "F1", "macro_f1")                                                                        \
    X(PRECISION, "precision", "macro_precision")                                                   \
    X(RECALL, "recall", "macro_recall")                                                            \
    X(AUC, "AUC", "macro_auc") /* of yes and no, over classes that have both kinds of records */   \
    X(ACCURACY, "accuracy", "accuracy")          /* of all answers */                              \
    X(AUC_ALL, "AUC of all", "macro_auc_of_all") /* the reference's: -1 unless all classes do */

typedef enum findings_score {
#define X(name, text, key) FINDINGS_##name,
    FINDINGS_SCORE_LIST(X)
#undef X
        FINDINGS_SCORES
} findings_score;
extern const char *const findings_score_names[FINDINGS_SCORES],
    *const findings_score_keys[FINDINGS_SCORES];

// A score_function (eval/intervals.h) of sums of clinical_statistics; no context.
void findings_score_of(double *score, const double *sum, int64_t rows, const void *context);
