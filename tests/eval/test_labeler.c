// The labeler's scores against scikit-learn (scripts/golden/labeler.py) within 1e-12; its table and
// JSON.
#include "core/files/json.h"
#include "eval/labeler.h"
#include "tests/core/helper_check.h"
#include "tests/golden_text.h"

#include <math.h>

static const char *const tasks[LABELER_TASKS] = {"positive", "negative", "uncertain", "mention"};
static const char *const cases[] = {"reports", "right", "edges", "blank", "against", "one"};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct input {
    int64_t count;
    int8_t *truth, *guess; // (count, CLASS_COUNT)
} input;

static int8_t *labels_open(const buffer *text, const char *name, const char *part, int64_t *count) {
    int8_t *out;
    golden_values x = golden_part(text, name, part);
    ck_assert(!mem_new(&out, x.count, "labels"));
    for (size_t i = 0; i < x.count; i++) out[i] = (int8_t)x.value[i];
    *count = (int64_t)x.count / CLASS_COUNT;
    ck_assert_int_gt(*count, 0);
    mem_free(x.value);
    return out;
}

static input input_open(const buffer *text, const char *name) {
    int64_t guesses;
    input x;
    x.truth = labels_open(text, name, "truth", &x.count);
    x.guess = labels_open(text, name, "guess", &guesses);
    ck_assert_int_eq(guesses, x.count);
    return x;
}

static void input_close(input *x) {
    mem_free(x->truth);
    mem_free(x->guess);
}

// In batches of SIZE rows.
static labeler_metrics measure(const input *x, int64_t size) {
    labeler_counts counts = {0};
    labeler_metrics out;
    for (int64_t i = 0; i < x->count; i += size)
        ck_assert_int_eq(labeler_add(&counts, x->guess + i * CLASS_COUNT,
                                     x->truth + i * CLASS_COUNT,
                                     x->count - i < size ? x->count - i : size),
                         STATUS_OK);
    ck_assert_int_eq(labeler_measure(&out, &counts), STATUS_OK);
    ck_assert_int_eq(out.count, x->count);
    return out;
}

static void expect_number(double got, double want, const char *name, const char *what) {
    bool same = isnan(want) ? isnan(got) : fabs(got - want) <= 1e-12;
    ck_assert_msg(same, "%s %s: %.17g, expected %.17g", name, what, got, want);
}

// One number per head, at FIELD's offset in labeler_head.
static void expect_heads(const buffer *text, const char *name, const char *what,
                         const labeler_metrics *got, size_t field) {
    golden_values want = golden_part(text, name, what);
    ck_assert_uint_eq(want.count, CLASS_COUNT);
    for (int k = 0; k < CLASS_COUNT; k++)
        expect_number(*(const double *)((const char *)&got->head[k] + field), want.value[k], name,
                      what);
    mem_free(want.value);
}

static void expect_task(const buffer *text, const char *name, const labeler_metrics *got,
                        labeler_task t) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, tasks[t]);
    golden_values support = golden_part(text, full, "support");
    ck_assert_uint_eq(support.count, CLASS_COUNT);
    for (int k = 0; k < CLASS_COUNT; k++)
        ck_assert_int_eq(got->head[k].support[t], (int64_t)support.value[k]);
    mem_free(support.value);
    expect_heads(text, full, "f1", got, offsetof(labeler_head, f1) + (size_t)t * sizeof(double));
    expect_number(got->mean_f1[t], golden_number(text, full, "mean"), full, "mean");
    expect_number(got->pooled_f1[t], golden_number(text, full, "pooled"), full, "pooled");
}

START_TEST(scores_equal_scikit_learn) {
    buffer text = golden_open(TEST_DATA "/labeler.txt");
    for (int i = 0; i < CASES; i++)
        for (int64_t size = 1; size <= 100; size += 33) {
            input x = input_open(&text, cases[i]);
            labeler_metrics got = measure(&x, size);
            for (labeler_task t = 0; t < LABELER_TASKS; t++) expect_task(&text, cases[i], &got, t);
            expect_heads(&text, cases[i], "head_accuracy", &got, offsetof(labeler_head, accuracy));
            expect_heads(&text, cases[i], "head_kappa", &got, offsetof(labeler_head, kappa));
            expect_number(got.accuracy, golden_number(&text, cases[i], "accuracy"), cases[i],
                          "accuracy");
            expect_number(got.kappa, golden_number(&text, cases[i], "kappa"), cases[i], "kappa");
            expect_number(got.exact_match, golden_number(&text, cases[i], "exact_match"), cases[i],
                          "exact_match");
            input_close(&x);
        }
    buffer_free(&text);
}
END_TEST

START_TEST(bad_labels_are_an_error) {
    int8_t good[2 * CLASS_COUNT], bad[2 * CLASS_COUNT];
    labeler_counts counts = {0}, none = {0};
    labeler_metrics out;
    memset(good, LABEL_BLANK, sizeof good);
    for (int value = -128; value < 128; value++) {
        memcpy(bad, good, sizeof bad);
        bad[CLASS_COUNT + CLASS_PLEURAL_EFFUSION] = (int8_t)value;
        if (value >= -2 && value <= 1) continue;
        expect_failure(labeler_add(&counts, bad, good, 2), STATUS_FORMAT, "prediction",
                       "the prediction of row 1, Pleural Effusion", "no label");
        expect_failure(labeler_add(&counts, good, bad, 2), STATUS_FORMAT, "truth",
                       "the truth of row 1, Pleural Effusion", "no label");
    }
    ck_assert_mem_eq(&counts, &none, sizeof none);
    expect_failure(labeler_measure(&out, &counts), STATUS_FORMAT, "nothing", "labeler", "no rows");
    ck_assert_int_eq(labeler_add(&counts, good, good, 2), STATUS_OK);
    ck_assert_int_eq(labeler_measure(&out, &counts), STATUS_OK);
}
END_TEST

static labeler_metrics edges(void) {
    buffer text = golden_open(TEST_DATA "/labeler.txt");
    input x = input_open(&text, "edges");
    labeler_metrics out = measure(&x, 25);
    input_close(&x);
    buffer_free(&text);
    return out;
}

START_TEST(tables) {
    labeler_metrics m = edges();
    buffer out = {0};
    ck_assert_int_eq(labeler_table(&out, &m, TABLE_PLAIN), STATUS_OK);
    static const char *const lines[] = {
        "finding                     positive     F1  negative     F1  uncertain     F1  mention   "
        "  F1  "
        "accuracy   kappa\n",
        "Cardiomegaly                       0      -         0      -          0      -        0   "
        "   -  "
        "   1.000       -\n",
        "Consolidation                     25  0.980         0  0.000          0      -       25  "
        "1.000  "
        "   0.960   0.000\n",
        "Support Devices                   13  0.571         4  0.000          1  0.000       18  "
        "0.667  "
        "   0.440   0.155\n",
        "mean                                  0.277            0.172             0.073           "
        "0.478  "
        "   0.503   0.048\n",
        "pooled                                0.447            0.537             0.080           "
        "0.572  "
        "   0.503       -\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(strstr(out.data, lines[i]) != NULL, "there is no line '%s' in\n%s", lines[i],
                      out.data);
    out.length = 0;
    ck_assert_int_eq(labeler_table(&out, &m, TABLE_MARKDOWN), STATUS_OK);
    ck_assert_ptr_nonnull(strstr(out.data, "| Cardiomegaly "));
    for (int n = 1; n < 4; n++) {
        mem_fail_at(n);
        ck_assert_int_eq(labeler_table(&out, &m, TABLE_PLAIN), STATUS_MEMORY);
    }
    mem_fail_at(0);
    buffer_free(&out);
}
END_TEST

static double member(json_value object, const char *key) {
    double out = NAN;
    json_value value;
    ck_assert_msg(!json_member(&value, object, key), "%s", status_text());
    if (json_kind_of(value) != JSON_NULL)
        ck_assert_msg(!json_number(&out, value), "%s", status_text());
    return out;
}

START_TEST(json_reads_back) {
    labeler_metrics m = edges();
    buffer out = {0};
    json *document;
    char key[64];
    labeler_json(&out, &m);
    ck_assert_int_eq(out.failed, STATUS_OK);
    ck_assert_msg(!json_parse(&document, "labeler", out.data, out.length, 1), "%s", status_text());
    json_value root = json_root(document), classes = json_find(root, "classes");
    expect_number(member(root, "count"), 25, "json", "count");
    expect_number(member(root, "accuracy"), m.accuracy, "json", "accuracy");
    expect_number(member(root, "exact_match"), m.exact_match, "json", "exact_match");
    expect_number(member(root, "kappa"), m.kappa, "json", "kappa");
    ck_assert_uint_eq(json_count(classes), CLASS_COUNT);
    for (int t = 0; t < LABELER_TASKS; t++) {
        snprintf(key, sizeof key, "%s_f1", tasks[t]);
        expect_number(member(root, key), m.mean_f1[t], "json", key);
        for (int c = 0; c < CLASS_COUNT; c++) {
            json_value head = json_find(classes, class_names[c]);
            expect_number(member(head, key), m.head[c].f1[t], "json", key);
            expect_number(member(head, tasks[t]), (double)m.head[c].support[t], "json", tasks[t]);
            expect_number(member(head, "accuracy"), m.head[c].accuracy, "json", "accuracy");
            expect_number(member(head, "kappa"), m.head[c].kappa, "json", "kappa");
        }
        snprintf(key, sizeof key, "%s_f1_pooled", tasks[t]);
        expect_number(member(root, key), m.pooled_f1[t], "json", key);
    }
    json_close(document);
    buffer_free(&out);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {scores_equal_scikit_learn, bad_labels_are_an_error, tables,
                                  json_reads_back, NULL};
    return run_suite(suite_of("labeler", tests));
}
