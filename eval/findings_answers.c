#include "eval/findings_answers.h"

#include <math.h>
#include <string.h>

const char *const findings_score_names[FINDINGS_SCORES] = {
#define X(name, text, key) text,
    FINDINGS_SCORE_LIST(X)
#undef X
};
const char *const findings_score_keys[FINDINGS_SCORES] = {
#define X(name, text, key) key,
    FINDINGS_SCORE_LIST(X)
#undef X
};

bool answer_says_yes(const char *text) {
    return strcasestr(text, "yes");
}

void answer_names(bool positive[CLASS_COUNT], const char *text) {
    for (int c = 0; c < CLASS_COUNT; c++) positive[c] = strcasestr(text, class_names[c]);
}

void answers_settle(bool positive[CLASS_COUNT]) {
    positive[CLASS_NO_FINDING] = true;
    for (int c = CLASS_NO_FINDING + 1; c < CLASS_COUNT; c++)
        if (positive[c]) positive[CLASS_NO_FINDING] = false;
}

// The area under the curve of one point: the mean of sensitivity and specificity. NaN where one of
// them is not defined.
static double area(const clinical_class *c, int64_t rows) {
    const double positives = (double)c->support, negatives = (double)(rows - c->support);
    if (positives < 1 || negatives < 1) return NAN;
    return ((double)c->matched / positives + 1 - (double)(c->predicted - c->matched) / negatives) /
           2;
}

void findings_score_of(double *score, const double *sum, int64_t rows, const void *context) {
    clinical_scores s;
    double areas = 0;
    int defined = 0;
    (void)context;
    clinical_measure(&s, sum, rows, CLINICAL_POSITIVE);
    for (int c = 0; c < CLASS_COUNT; c++) {
        const double x = area(&s.per_class[c], rows);
        if (isnan(x)) continue;
        areas += x;
        defined++;
    }
    score[FINDINGS_F1] = s.all.macro.f1;
    score[FINDINGS_PRECISION] = s.all.macro.precision;
    score[FINDINGS_RECALL] = s.all.macro.recall;
    score[FINDINGS_AUC] = defined ? areas / defined : NAN;
    score[FINDINGS_ACCURACY] = s.accuracy;
    score[FINDINGS_AUC_ALL] = defined == CLASS_COUNT ? areas / CLASS_COUNT : -1;
}
