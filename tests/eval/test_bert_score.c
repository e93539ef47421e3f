// BERTScore against the public bert-score package on a small random RoBERTa
// (scripts/golden/bertscore.py): precision, recall and F1 within 1e-4, as they are and rescaled,
// whatever stands in a batch; what it refuses; failing memory. scripts/check_bert_score.sh gives it
// a larger model and real reports.
#include "core/files/fs.h"
#include "eval/bert_score.h"
#include "models/ops/ops.h"
#include "tests/core/helper_check.h"
#include "tests/eval/helper_csv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_PAIRS = 4000, LAYER = 2 };
static const double limit = 1e-4;

typedef struct golden_pair {
    char *text, *reference;
    double value[6]; // p, r, f, then rescaled
} golden_pair;

static golden_pair pair[MOST_PAIRS];
static int64_t pairs;
static const char *folder = TEST_DATA "/roberta";
static int layer = LAYER;
static device *cpu, *dry;

static void open_pairs(const char *path) {
    static const char *const columns[] = {"p", "r", "f", "p_rescaled", "r_rescaled", "f_rescaled"};
    csv *c;
    bool more, bad;
    if (csv_open(&c, path)) die("%s", status_text());
    for (; !csv_next(c, &more, &bad) && more; pairs++) {
        if (bad || pairs == MOST_PAIRS) die("a bad table: %s", csv_reason(c));
        pair[pairs].text = csv_text(c, "text");
        pair[pairs].reference = csv_text(c, "reference");
        for (int k = 0; k < 6; k++) {
            char *text = csv_text(c, columns[k]);
            pair[pairs].value[k] = strtod(text, NULL);
            mem_free(text);
        }
    }
    if (more || !pairs) die("%s: cannot be read", path);
    csv_close(c);
}

static void setup(void) {
    const char *path = getenv("RADIALOG_BERT_SCORE");
    if (path) {
        folder = getenv("RADIALOG_BERT_SCORE_MODEL");
        layer = atoi(getenv("RADIALOG_BERT_SCORE_LAYER"));
    }
    open_pairs(path ? path : TEST_DATA "/bert_score.csv");
    if (device_open_cpu(&cpu, 2)) die("%s", status_text());
    cpu->ops = &op_kernels_cpu;
    if (device_open_dry(&dry, cpu)) die("%s", status_text());
}

static void teardown(void) {
    for (int64_t i = 0; i < pairs; i++) {
        mem_free(pair[i].text);
        mem_free(pair[i].reference);
    }
    device_close(dry);
    device_close(cpu);
}

static bert_score *open_scorer(const char *baseline) {
    const bert_score_options how = {.layer = layer, .baseline = baseline};
    bert_score *b;
    ck_assert_msg(!bert_score_open(&b, folder, &how, cpu, dry), "%s", status_text());
    return b;
}

// Scores of pairs FIRST to FIRST + COUNT - 1.
static void score(bert_score *b, bert_triple *out, int64_t first, int64_t count) {
    const char **text, **reference;
    ck_assert(!mem_new(&text, count, "texts") && !mem_new(&reference, count, "texts"));
    for (int64_t i = 0; i < count; i++) {
        text[i] = pair[first + i].text;
        reference[i] = pair[first + i].reference;
    }
    ck_assert_msg(!bert_score_pairs(b, out, text, reference, count), "%s", status_text());
    mem_free(reference);
    mem_free(text);
}

static double worst_of(const bert_triple *got, int column) {
    double worst = 0;
    for (int64_t i = 0; i < pairs; i++) {
        const double x[3] = {got[i].precision, got[i].recall, got[i].f1};
        for (int k = 0; k < 3; k++) {
            const double error = fabs(x[k] - pair[i].value[column + k]);
            ck_assert_msg(error <= limit, "\"%s\" and \"%s\": %.6f instead of %.6f", pair[i].text,
                          pair[i].reference, x[k], pair[i].value[column + k]);
            if (error > worst) worst = error;
        }
    }
    return worst;
}

START_TEST(equals_the_package) {
    static bert_triple got[MOST_PAIRS];
    char path[PATH_SIZE];
    struct timespec from, to;
    bert_score *b = open_scorer(NULL);
    clock_gettime(CLOCK_MONOTONIC, &from);
    score(b, got, 0, pairs);
    clock_gettime(CLOCK_MONOTONIC, &to);
    const double plain = worst_of(got, 0);
    ck_assert_ptr_nonnull(strstr(bert_score_name(b), "not rescaled"));
    if (getenv("RADIALOG_BERT_SCORE"))
        printf("radialog: %.1f pairs/s, worst error %.1e of %lld\n",
               (double)pairs /
                   ((double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec)),
               plain, (long long)pairs);
    else
        ck_assert_int_gt(bert_score_cut(b), 0);
    bert_score_close(b);
    ck_assert(!path_join(path, sizeof path, folder, "baseline.csv"));
    b = open_scorer(path);
    score(b, got, 0, pairs);
    worst_of(got, 3);
    ck_assert_ptr_nonnull(strstr(bert_score_name(b), "baseline.csv"));
    bert_score_close(b);
}
END_TEST

// A pair alone and among others.
START_TEST(batches_do_not_matter) {
    static bert_triple all[MOST_PAIRS];
    bert_score *b = open_scorer(NULL);
    score(b, all, 0, pairs);
    for (int64_t i = 0; i < pairs; i += pairs / 7 + 1) {
        bert_triple one;
        score(b, &one, i, 1);
        ck_assert_double_le(fabs(one.f1 - all[i].f1), 1e-6);
    }
    bert_score_close(b);
}
END_TEST

// A copy of the golden folder in which FILE is TEXT (NULL: is not there).
static const char *folder_with(const char *file, const char *text) {
    static const char *const files[] = {"config.json", "model.safetensors", "vocab.json",
                                        "merges.txt", "baseline.csv"};
    const char *out = scratch("model");
    char path[PATH_SIZE];
    buffer bytes = {0};
    ck_assert(!path_remove(out) && !folder_make(out));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ck_assert(!path_join(path, sizeof path, TEST_DATA "/roberta", files[i]) &&
                  !file_read(path, 0, &bytes));
        ck_assert(!path_join(path, sizeof path, out, files[i]));
        if (!strcmp(files[i], file) && !text) continue;
        if (!strcmp(files[i], file))
            ck_assert(!file_write(path, text, strlen(text)));
        else
            ck_assert(!file_write(path, bytes.data, bytes.length));
    }
    buffer_free(&bytes);
    return out;
}

static void expect_refusal(status expected, const char *file, const char *text,
                           const char *reason) {
    char path[PATH_SIZE];
    const char *place = folder_with(file, text);
    ck_assert(!path_join(path, sizeof path, place, "baseline.csv"));
    const bert_score_options how = {.layer = LAYER, .baseline = path};
    bert_score *b;
    expect_failure(bert_score_open(&b, place, &how, cpu, dry), expected, file,
                   file_exists(place) ? file : NULL, reason);
    ck_assert_ptr_null(b);
}

START_TEST(refusals) {
    static const char config[] = "{\"model_type\":\"%s\",\"vocab_size\":%d,\"hidden_size\":24,"
                                 "\"intermediate_size\":40,\"num_attention_heads\":%d,"
                                 "\"num_hidden_layers\":%d,\"type_vocab_size\":1,\"max_position_"
                                 "embeddings\":%d,\"layer_norm_eps\":1e-5}";
    char text[512];
    expect_refusal(STATUS_IO, "config.json", NULL, "config.json");
    expect_refusal(STATUS_IO, "model.safetensors", NULL, "holds no language model");
    expect_refusal(STATUS_IO, "vocab.json", NULL, "no tokenizer");
    snprintf(text, sizeof text, config, "bert", 420, 4, 3, 42);
    expect_refusal(STATUS_FORMAT, "config.json", text, "only \"roberta\" is supported");
    snprintf(text, sizeof text, config, "roberta", 420, 5, 3, 42);
    expect_refusal(STATUS_FORMAT, "config.json", text, "5 heads in a width of 24");
    snprintf(text, sizeof text, config, "roberta", 420, 4, 3, 4);
    expect_refusal(STATUS_FORMAT, "config.json", text, "no positions left");
    snprintf(text, sizeof text, config, "roberta", 420, 4, 1, 42);
    expect_refusal(STATUS_USAGE, "config.json", text, "has 1 layers, not 2");
    snprintf(text, sizeof text, config, "roberta", 300, 4, 3, 42);
    expect_refusal(STATUS_FORMAT, "config.json", text,
                   "its tokenizer has 420 tokens, its model 300");
    snprintf(text, sizeof text, config, "roberta", 420, 4, 3, 43);
    expect_refusal(STATUS_FORMAT, "model.safetensors", text, NULL);
    expect_refusal(STATUS_FORMAT, "baseline.csv", "LAYER,P,R,F\n1,0,0,0\n", "no line for layer 2");
    expect_refusal(STATUS_FORMAT, "baseline.csv", "LAYER,P,R,F\n2,0,x,0\n", "is no baseline");
    expect_refusal(STATUS_FORMAT, "baseline.csv", "LAYER,P,R,F\n2,0,1,0\n",
                   "is no baseline"); // divides by 0
    expect_refusal(STATUS_FORMAT, "baseline.csv", "LAYER,P,R\n2,0,0\n", "F");
}
END_TEST

START_TEST(failing_memory) {
    const char *text[] = {"The heart is enlarged.", "x"},
               *reference[] = {"The heart is large.", ""};
    const bert_score_options how = {.layer = LAYER};
    int64_t failures = 0;
    for (int64_t n = 1;; n++) {
        bert_triple out[2];
        bert_score *b = NULL;
        mem_fail_at(n);
        status rc = bert_score_open(&b, TEST_DATA "/roberta", &how, cpu, dry);
        if (!rc) rc = bert_score_pairs(b, out, text, reference, 2);
        const bool failed = mem_has_failed();
        mem_fail_at(0);
        bert_score_close(b);
        if (!failed) break;
        failures++;
        ck_assert_msg(rc == STATUS_MEMORY, "allocation %lld: %s", (long long)n, status_text());
    }
    ck_assert_int_gt(failures, 20);
}
END_TEST

int main(void) {
    const TTest *const golden[] = {equals_the_package, batches_do_not_matter, NULL},
                       *const all[] = {equals_the_package, batches_do_not_matter, refusals,
                                       failing_memory, NULL};
    setup();
    int failed = run_suite(suite_of("bert_score", getenv("RADIALOG_BERT_SCORE") ? golden : all));
    teardown();
    return failed;
}
