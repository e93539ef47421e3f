// Metrics against scikit-learn (scripts/golden/metrics.py) within 1e-12, edge cases, bad input.
#include "eval/metrics.h"
#include "tests/golden_text.h"

#include <check.h>
#include <math.h>

typedef struct input {
    float *logits;    // (count, classes)
    uint8_t *targets; // (count, classes)
    bool *mask;       // (classes)
    int64_t count;
    int classes;
} input;

static input input_open(const buffer *text, const char *name) {
    golden_values shape = golden_part(text, name, "shape"), mask = golden_part(text, name, "mask");
    golden_values logits = golden_part(text, name, "logits");
    golden_values targets = golden_part(text, name, "targets");
    input x = {.count = (int64_t)shape.value[0], .classes = (int)shape.value[1]};
    ck_assert_uint_eq(logits.count, (size_t)x.count * (size_t)x.classes);
    ck_assert_uint_eq(targets.count, logits.count);
    ck_assert(!mem_new(&x.logits, logits.count, "logits"));
    ck_assert(!mem_new(&x.targets, logits.count, "targets"));
    ck_assert(!mem_new(&x.mask, mask.count, "mask"));
    for (size_t i = 0; i < logits.count; i++) {
        x.logits[i] = (float)logits.value[i];
        x.targets[i] = (uint8_t)targets.value[i];
    }
    for (size_t i = 0; i < mask.count; i++) x.mask[i] = mask.value[i] != 0;
    mem_free(shape.value);
    mem_free(mask.value);
    mem_free(logits.value);
    mem_free(targets.value);
    return x;
}

static void input_close(input *x) {
    mem_free(x->logits);
    mem_free(x->targets);
    mem_free(x->mask);
}

static void expect_number(double got, double want, const char *name, const char *what) {
    bool same = isnan(want) ? isnan(got) : fabs(got - want) <= 1e-12;
    ck_assert_msg(same, "%s %s: %.17g, expected %.17g", name, what, got, want);
}

static void expect_average(const buffer *text, const char *name, const char *what,
                           metric_average got) {
    golden_values want = golden_part(text, name, what);
    ck_assert_uint_eq(want.count, 3);
    expect_number(got.precision, want.value[0], name, what);
    expect_number(got.recall, want.value[1], name, what);
    expect_number(got.f1, want.value[2], name, what);
    mem_free(want.value);
}

// The golden file has a value per counted class. FIELD: offset of a double in class_metrics.
static void expect_classes(const buffer *text, const char *name, const char *what,
                           const classify_metrics *got, size_t field) {
    golden_values want = golden_part(text, name, what);
    size_t next = 0;
    for (int k = 0; k < got->classes; k++) {
        const class_metrics *c = &got->per_class[k];
        if (!c->counted) continue;
        ck_assert(next < want.count);
        expect_number(*(const double *)((const char *)c + field), want.value[next++], name, what);
    }
    ck_assert_uint_eq(next, want.count);
    mem_free(want.value);
}

static void expect_support(const buffer *text, const char *name, const classify_metrics *got) {
    golden_values want = golden_part(text, name, "class.support");
    int next = 0, present = 0;
    for (int k = 0; k < got->classes; k++)
        if (got->per_class[k].counted) {
            present += got->per_class[k].support > 0;
            ck_assert_int_eq(got->per_class[k].support, (int64_t)want.value[next++]);
        }
    ck_assert_int_eq(got->counted, next);
    ck_assert_int_eq(got->present, present);
    mem_free(want.value);
}

static void compare(const buffer *text, const char *name) {
    input x = input_open(text, name);
    classify_metrics got;
    ck_assert_int_eq(metrics_classify(&got, x.logits, x.targets, x.mask, x.count, x.classes),
                     STATUS_OK);
    expect_support(text, name, &got);
    expect_classes(text, name, "class.precision", &got, offsetof(class_metrics, precision));
    expect_classes(text, name, "class.recall", &got, offsetof(class_metrics, recall));
    expect_classes(text, name, "class.f1", &got, offsetof(class_metrics, f1));
    expect_classes(text, name, "class.accuracy", &got, offsetof(class_metrics, accuracy));
    expect_classes(text, name, "class.auc", &got, offsetof(class_metrics, auc));
    expect_classes(text, name, "class.average_precision", &got,
                   offsetof(class_metrics, average_precision));
    expect_average(text, name, "macro", got.macro);
    expect_average(text, name, "macro_present", got.macro_present);
    expect_average(text, name, "micro", got.micro);
    expect_average(text, name, "weighted", got.weighted);
    expect_average(text, name, "samples", got.samples);
    expect_number(got.accuracy, golden_number(text, name, "accuracy"), name, "accuracy");
    expect_number(got.exact_match, golden_number(text, name, "exact_match"), name, "exact_match");
    expect_number(got.auc, golden_number(text, name, "auc"), name, "auc");
    expect_number(got.average_precision, golden_number(text, name, "mean_average_precision"), name,
                  "mean_average_precision");
    input_close(&x);
}

START_TEST(metrics_equal_scikit_learn) {
    static const char *const cases[] = {"findings", "masked", "ties", "edges",
                                        "none",     "all",    "one"};
    buffer text = golden_open(TEST_DATA "/metrics.txt");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) compare(&text, cases[i]);
    buffer_free(&text);
}
END_TEST

START_TEST(validation_f1_is_the_mean_over_batches) {
    buffer text = golden_open(TEST_DATA "/metrics.txt");
    input x = input_open(&text, "findings");
    golden_values scores = golden_part(&text, "findings", "batch_f1");
    const int64_t size = (int64_t)golden_number(&text, "findings", "batch_size");
    metric_mean mean = {0};
    size_t next = 0;
    ck_assert(isnan(metric_mean_value(&mean)));
    for (int64_t i = 0; i < x.count; i += size) {
        int64_t count = x.count - i < size ? x.count - i : size;
        double f1 =
            metrics_batch_f1(x.logits + i * x.classes, x.targets + i * x.classes, count, x.classes);
        expect_number(f1, scores.value[next++], "findings", "batch_f1");
        metric_mean_add(&mean, f1, count);
    }
    ck_assert_uint_eq(next, scores.count);
    expect_number(metric_mean_value(&mean), golden_number(&text, "findings", "val_f1"), "findings",
                  "val_f1");
    mem_free(scores.value);
    input_close(&x);
    buffer_free(&text);
}
END_TEST

// The order of rows must not matter, least of all among ties.
START_TEST(order_of_rows_does_not_matter) {
    buffer text = golden_open(TEST_DATA "/metrics.txt");
    input x = input_open(&text, "ties");
    classify_metrics a, b;
    ck_assert(!metrics_classify(&a, x.logits, x.targets, NULL, x.count, x.classes));
    for (int64_t i = 0, j = x.count - 1; i < j; i++, j--)
        for (int k = 0; k < x.classes; k++) {
            int64_t from = i * x.classes + k, to = j * x.classes + k;
            float logit = x.logits[from];
            uint8_t target = x.targets[from];
            x.logits[from] = x.logits[to], x.logits[to] = logit;
            x.targets[from] = x.targets[to], x.targets[to] = target;
        }
    ck_assert(!metrics_classify(&b, x.logits, x.targets, NULL, x.count, x.classes));
    for (int k = 0; k < x.classes; k++) {
        ck_assert(a.per_class[k].auc == b.per_class[k].auc);
        ck_assert(a.per_class[k].average_precision == b.per_class[k].average_precision);
    }
    input_close(&x);
    buffer_free(&text);
}
END_TEST

// By hand: 0 is not above the threshold, -0 ties with 0, infinities are scores like others.
START_TEST(threshold_and_infinities) {
    static const float logits[] = {0.0f, -0.0f, 1e-30f, -1e-30f, INFINITY, -INFINITY};
    static const uint8_t targets[] = {1, 0, 1, 0, 1, 0};
    classify_metrics got;
    ck_assert(!metrics_classify(&got, logits, targets, NULL, 6, 1));
    ck_assert_int_eq(got.per_class[0].predicted, 2);
    ck_assert_int_eq(got.per_class[0].matched, 2);
    expect_number(got.per_class[0].precision, 1, "by hand", "precision");
    expect_number(got.per_class[0].recall, 2.0 / 3, "by hand", "recall");
    // 9 pairs, of which one is tied.
    expect_number(got.per_class[0].auc, 8.5 / 9, "by hand", "auc");
    expect_number(got.per_class[0].average_precision, (1 + 1 + 3.0 / 4) / 3, "by hand", "AP");
}
END_TEST

START_TEST(bad_input_is_an_error) {
    float logits[] = {1, -1, 2, -2};
    uint8_t targets[] = {1, 0, 1, 1};
    bool none[] = {false, false}, first[] = {true, false};
    classify_metrics got;
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, 0, 2), STATUS_FORMAT);
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, -1, 2), STATUS_FORMAT);
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, 2, 0), STATUS_FORMAT);
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, 2, 65), STATUS_FORMAT);
    ck_assert_int_eq(metrics_classify(&got, logits, targets, none, 2, 2), STATUS_FORMAT);
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, 2, 2), STATUS_OK);
    logits[3] = NAN;
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, 2, 2), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "row 1, class 1"));
    ck_assert_int_eq(metrics_classify(&got, logits, targets, first, 2, 2), STATUS_OK);
    logits[3] = 0, targets[2] = 2;
    ck_assert_int_eq(metrics_classify(&got, logits, targets, first, 2, 2), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "row 1, class 0 is 2"));
    targets[2] = 1;
    mem_fail_at(1);
    ck_assert_int_eq(metrics_classify(&got, logits, targets, NULL, 2, 2), STATUS_MEMORY);
    mem_fail_at(0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, metrics_equal_scikit_learn);
    tcase_add_test(tests, validation_f1_is_the_mean_over_batches);
    tcase_add_test(tests, order_of_rows_does_not_matter);
    tcase_add_test(tests, threshold_and_infinities);
    tcase_add_test(tests, bad_input_is_an_error);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
