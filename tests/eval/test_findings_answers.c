// eval/findings_answers.h: what answers say, and scores against sums done by hand and
// eval/metrics.h.
#include "eval/findings_answers.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <string.h>

START_TEST(words) {
    static const char *const yes[] = {"yes", " Yes.", "YES, there is", "eyes"}, *const no[] = {
                                                                                    "", "no",
                                                                                    "y es", "ye"};
    bool positive[CLASS_COUNT];
    for (int i = 0; i < 4; i++) ck_assert(answer_says_yes(yes[i]) && !answer_says_yes(no[i]));
    answer_names(positive, "There is pleural EFFUSION, edema; no pneumonia. Pleural other");
    for (int c = 0; c < CLASS_COUNT; c++)
        ck_assert_int_eq(positive[c], c == 5 || c == 7 || c == 10 || c == 11);
    answers_settle(positive);
    ck_assert(!positive[CLASS_NO_FINDING]);
    answer_names(positive, "nothing");
    answers_settle(positive);
    ck_assert(positive[CLASS_NO_FINDING]);
    memset(positive, 0, sizeof positive);
    positive[CLASS_NO_FINDING] = positive[CLASS_SUPPORT_DEVICES] = true;
    answers_settle(positive);
    ck_assert(!positive[CLASS_NO_FINDING]);
}
END_TEST

enum { ROWS = 7 };

static void measure(double score[FINDINGS_SCORES], const int8_t said[ROWS][CLASS_COUNT],
                    const int8_t truth[ROWS][CLASS_COUNT]) {
    double row[ROWS * CLINICAL_STATISTICS], sum[CLINICAL_STATISTICS] = {0};
    ck_assert(!clinical_statistics(row, said[0], truth[0], ROWS, CLINICAL_POSITIVE));
    for (int i = 0; i < ROWS * CLINICAL_STATISTICS; i++) sum[i % CLINICAL_STATISTICS] += row[i];
    findings_score_of(score, sum, ROWS, NULL);
}

START_TEST(scores) {
    int8_t said[ROWS][CLASS_COUNT], truth[ROWS][CLASS_COUNT];
    float logits[ROWS * CLASS_COUNT];
    uint8_t targets[ROWS * CLASS_COUNT];
    double score[FINDINGS_SCORES];
    classify_metrics want;
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < CLASS_COUNT; c++) {
            said[i][c] = (i * 5 + c * 3) % 7 < 3;
            truth[i][c] = (int8_t)((i + c * c) % 4 - 2); // positive, negative, uncertain, blank
            if (c == 4) truth[i][c] = LABEL_NEGATIVE;    // one kind alone
            logits[i * CLASS_COUNT + c] = said[i][c] ? 1 : -1;
            targets[i * CLASS_COUNT + c] = truth[i][c] == LABEL_POSITIVE;
        }
    measure(score, said, truth);
    ck_assert(!metrics_classify(&want, logits, targets, NULL, ROWS, CLASS_COUNT));
    ck_assert_double_eq_tol(score[FINDINGS_F1], want.macro.f1, 1e-12);
    ck_assert_double_eq_tol(score[FINDINGS_PRECISION], want.macro.precision, 1e-12);
    ck_assert_double_eq_tol(score[FINDINGS_RECALL], want.macro.recall, 1e-12);
    ck_assert_double_eq_tol(score[FINDINGS_AUC], want.auc, 1e-12);
    ck_assert_double_eq_tol(score[FINDINGS_ACCURACY], want.accuracy, 1e-12);
    ck_assert_double_eq(score[FINDINGS_AUC_ALL], -1);
    ck_assert(want.auc > 0.2 && want.auc < 0.8 && want.macro.f1 > 0);
    truth[3][4] = LABEL_POSITIVE;
    targets[3 * CLASS_COUNT + 4] = 1;
    measure(score, said, truth);
    ck_assert(!metrics_classify(&want, logits, targets, NULL, ROWS, CLASS_COUNT));
    ck_assert_double_eq_tol(score[FINDINGS_AUC_ALL], want.auc, 1e-12);
    ck_assert_double_eq(score[FINDINGS_AUC_ALL], score[FINDINGS_AUC]);
    for (int i = 0; i < ROWS; i++) memset(truth[i], 0, CLASS_COUNT);
    measure(score, said, truth);
    ck_assert(isnan(score[FINDINGS_AUC]));
}
END_TEST

int main(void) {
    return run_suite(suite_of("findings answers", (const TTest *const[]){words, scores, NULL}));
}
