// Clinical scores against scikit-learn (scripts/golden/clinical.py) within 1e-12, and against the
// classifier's scores of the same labels; vectors; bad labels.
#include "eval/clinical.h"
#include "tests/core/helper_check.h"
#include "tests/golden_text.h"

#include <math.h>

static const char *const cases[] = {"mixed", "one", "nothing", "never"};
static const char *const mappings[CLINICAL_MAPPINGS] = {"positive", "uncertain"};
enum { CASES = sizeof cases / sizeof *cases, MOST_ROWS = 200 };

typedef struct labels {
    int64_t rows;
    int8_t truth[MOST_ROWS * CLASS_COUNT], guess[MOST_ROWS * CLASS_COUNT];
    double statistics[MOST_ROWS * CLINICAL_STATISTICS];
    clinical_scores scores;
} labels;

static int64_t read_labels(int8_t *out, const buffer *text, const char *name, const char *part) {
    golden_values x = golden_part(text, name, part);
    ck_assert_uint_le(x.count, MOST_ROWS * CLASS_COUNT);
    for (size_t i = 0; i < x.count; i++) out[i] = (int8_t)x.value[i];
    mem_free(x.value);
    return (int64_t)x.count / CLASS_COUNT;
}

static labels *measured(const buffer *text, const char *name, clinical_mapping mapping) {
    static labels x;
    double sum[CLINICAL_STATISTICS] = {0};
    x.rows = read_labels(x.truth, text, name, "truth");
    ck_assert_int_eq(read_labels(x.guess, text, name, "guess"), x.rows);
    ck_assert(!clinical_statistics(x.statistics, x.guess, x.truth, x.rows, mapping));
    for (int64_t i = 0; i < x.rows; i++)
        for (int k = 0; k < CLINICAL_STATISTICS; k++)
            sum[k] += x.statistics[i * CLINICAL_STATISTICS + k];
    clinical_measure(&x.scores, sum, x.rows, mapping);
    ck_assert_int_eq(x.scores.count, x.rows);
    ck_assert_int_eq(x.scores.mapping, mapping);
    return &x;
}

static void expect_near(double got, double want, const char *what) {
    ck_assert_msg(fabs(got - want) <= 1e-12, "%s: %.17g, expected %.17g", what, got, want);
}

static void expect_average(metric_average got, const buffer *text, const char *prefix,
                           const char *name) {
    golden_values want = golden_part(text, prefix, name);
    ck_assert_uint_eq(want.count, 3);
    expect_near(got.precision, want.value[0], prefix);
    expect_near(got.recall, want.value[1], prefix);
    expect_near(got.f1, want.value[2], prefix);
    mem_free(want.value);
}

static void expect_averages(const clinical_averages *got, const buffer *text, const char *name,
                            const char *mapping, const char *which) {
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s.%s.%s", name, mapping, which);
    expect_average(got->macro, text, prefix, "macro");
    expect_average(got->micro, text, prefix, "micro");
    expect_average(got->weighted, text, prefix, "weighted");
    expect_average(got->samples, text, prefix, "samples");
}

static void expect_classes(const clinical_scores *got, const buffer *text, const char *name,
                           const char *mapping) {
    char prefix[80];
    double accuracy = 0;
    snprintf(prefix, sizeof prefix, "%s.%s", name, mapping);
    golden_values want = golden_part(text, prefix, "classes");
    golden_values right = golden_part(text, prefix, "accuracy");
    for (int k = 0; k < CLASS_COUNT; k++) {
        const clinical_class *c = &got->per_class[k];
        expect_near((double)c->support, want.value[4 * k], "support");
        expect_near(c->score.precision, want.value[4 * k + 1], "precision");
        expect_near(c->score.recall, want.value[4 * k + 2], "recall");
        expect_near(c->score.f1, want.value[4 * k + 3], "F1");
        expect_near(c->accuracy, right.value[k], "accuracy");
        accuracy += right.value[k] / CLASS_COUNT;
    }
    expect_near(got->accuracy, accuracy, "mean accuracy");
    mem_free(want.value);
    mem_free(right.value);
}

START_TEST(scores_equal_scikit_learn) {
    buffer text = golden_open(TEST_DATA "/clinical.txt");
    for (int i = 0; i < CASES; i++)
        for (clinical_mapping m = 0; m < CLINICAL_MAPPINGS; m++) {
            const clinical_scores *got = &measured(&text, cases[i], m)->scores;
            expect_averages(&got->all, &text, cases[i], mappings[m], "all");
            expect_averages(&got->five, &text, cases[i], mappings[m], "five");
            expect_classes(got, &text, cases[i], mappings[m]);
        }
    buffer_free(&text);
}
END_TEST

// Two ways to the same averages: a logit above 0 is a finding.
START_TEST(scores_equal_the_classifiers) {
    buffer text = golden_open(TEST_DATA "/clinical.txt");
    static float logits[MOST_ROWS * CLASS_COUNT];
    static uint8_t targets[MOST_ROWS * CLASS_COUNT];
    const labels *x = measured(&text, "mixed", CLINICAL_POSITIVE);
    for (int64_t i = 0; i < x->rows * CLASS_COUNT; i++) {
        logits[i] = x->guess[i] == LABEL_POSITIVE ? 1 : -1;
        targets[i] = x->truth[i] == LABEL_POSITIVE;
    }
    classify_metrics want;
    ck_assert(!metrics_classify(&want, logits, targets, clinical_five, x->rows, CLASS_COUNT));
    ck_assert_int_eq(want.counted, 5);
    expect_near(x->scores.five.macro.f1, want.macro.f1, "macro");
    expect_near(x->scores.five.micro.f1, want.micro.f1, "micro");
    expect_near(x->scores.five.weighted.f1, want.weighted.f1, "weighted");
    expect_near(x->scores.five.samples.f1, want.samples.f1, "samples");
    buffer_free(&text);
}
END_TEST

START_TEST(five_are_the_five) {
    static const char *const five[] = {"Cardiomegaly", "Edema", "Consolidation", "Atelectasis",
                                       "Pleural Effusion"};
    int count = 0;
    for (int k = 0; k < CLASS_COUNT; k++) count += clinical_five[k];
    ck_assert_int_eq(count, 5);
    for (int i = 0; i < 5; i++) ck_assert(clinical_five[class_find(five[i])]);
}
END_TEST

START_TEST(bad_labels_are_an_error) {
    int8_t good[2 * CLASS_COUNT] = {0}, bad[2 * CLASS_COUNT] = {0};
    double out[2 * CLINICAL_STATISTICS];
    ck_assert(!clinical_statistics(out, good, bad, 2, CLINICAL_POSITIVE));
    bad[CLASS_COUNT + 2] = 2;
    expect_failure(clinical_statistics(out, good, bad, 2, CLINICAL_POSITIVE), STATUS_FORMAT,
                   "a truth", "truth of report 1, Cardiomegaly", "2");
    bad[CLASS_COUNT + 2] = -3;
    expect_failure(clinical_statistics(out, bad, good, 2, CLINICAL_POSITIVE), STATUS_FORMAT,
                   "a prediction", "prediction of report 1, Cardiomegaly", "-3");
}
END_TEST

START_TEST(cosines_equal_scikit_learn) {
    buffer text = golden_open(TEST_DATA "/clinical.txt");
    golden_values a = golden_find(&text, "vectors.a"), b = golden_find(&text, "vectors.b");
    golden_values want = golden_find(&text, "vectors.cosine");
    float x[30], y[30];
    double got[6];
    ck_assert_uint_eq(a.count, 30);
    for (int i = 0; i < 30; i++) x[i] = (float)a.value[i], y[i] = (float)b.value[i];
    ck_assert(!clinical_similarity(got, x, y, 6, 5));
    for (int i = 0; i < 6; i++) expect_near(got[i], want.value[i], "cosine");
    y[12] = NAN;
    expect_failure(clinical_similarity(got, x, y, 6, 5), STATUS_FORMAT, "NaN", "report 2",
                   "not finite");
    mem_free(a.value);
    mem_free(b.value);
    mem_free(want.value);
    buffer_free(&text);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {scores_equal_scikit_learn,  scores_equal_the_classifiers,
                                  five_are_the_five,          bad_labels_are_an_error,
                                  cosines_equal_scikit_learn, NULL};
    return run_suite(suite_of("clinical scores", tests));
}
