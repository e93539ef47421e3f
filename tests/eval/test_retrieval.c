// Retrieval and binary decisions against numpy and scikit-learn (scripts/golden/retrieval.py)
// within 1e-12; tiles of any size give the same; bad input.
#include "eval/retrieval.h"
#include "tests/core/helper_check.h"
#include "tests/golden_text.h"

#include <math.h>

typedef struct input {
    int64_t images, texts;
    float *scores;                     // (images, texts)
    int64_t *image_group, *text_group; // (images), (texts)
} input;

static int64_t *groups_open(const buffer *text, const char *name, const char *part, int64_t count) {
    int64_t *out;
    golden_values x = golden_part(text, name, part);
    ck_assert_int_eq((int64_t)x.count, count);
    ck_assert(!mem_new(&out, count, "groups"));
    for (int64_t i = 0; i < count; i++) out[i] = (int64_t)x.value[i];
    mem_free(x.value);
    return out;
}

static input input_open(const buffer *text, const char *name) {
    golden_values shape = golden_part(text, name, "shape"),
                  scores = golden_part(text, name, "scores");
    input x = {.images = (int64_t)shape.value[0], .texts = (int64_t)shape.value[1]};
    ck_assert_int_eq((int64_t)scores.count, x.images * x.texts);
    ck_assert(!mem_new(&x.scores, scores.count, "scores"));
    for (size_t i = 0; i < scores.count; i++) x.scores[i] = (float)scores.value[i];
    x.image_group = groups_open(text, name, "image_group", x.images);
    x.text_group = groups_open(text, name, "text_group", x.texts);
    mem_free(shape.value);
    mem_free(scores.value);
    return x;
}

static void input_close(input *x) {
    mem_free(x->scores);
    mem_free(x->image_group);
    mem_free(x->text_group);
}

static void expect_number(double got, double want, const char *name, const char *what) {
    bool same = isnan(want) ? isnan(got) : fabs(got - want) <= 1e-12;
    ck_assert_msg(same, "%s %s: %.17g, expected %.17g", name, what, got, want);
}

static void expect_numbers(const buffer *text, const char *name, const char *what,
                           const double *got, size_t count) {
    golden_values want = golden_part(text, name, what);
    ck_assert_uint_eq(want.count, count);
    for (size_t i = 0; i < count; i++) expect_number(got[i], want.value[i], name, what);
    mem_free(want.value);
}

static void expect_direction(const buffer *text, const char *name, const char *direction,
                             const retrieval_score *got) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, direction);
    expect_numbers(text, full, "recall", got->recall, RETRIEVAL_DEPTHS);
    expect_numbers(text, full, "chance", got->chance, RETRIEVAL_DEPTHS);
    expect_number(got->median_rank, golden_number(text, full, "median"), full, "median");
    ck_assert_int_eq(got->lost, (int64_t)golden_number(text, full, "lost"));
}

static const char *const cases[] = {"pairs", "groups",  "constant", "one_group", "even",
                                    "one",   "one_nan", "nan",      "mixed"};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(retrieval_equals_numpy) {
    buffer text = golden_open(TEST_DATA "/retrieval.txt");
    for (int i = 0; i < CASES; i++) {
        input x = input_open(&text, cases[i]);
        retrieval_scores got;
        ck_assert_int_eq(
            retrieval_of_matrix(&got, x.scores, x.image_group, x.images, x.text_group, x.texts),
            STATUS_OK);
        ck_assert_int_eq(got.image_to_text.queries, x.images);
        ck_assert_int_eq(got.text_to_image.candidates, x.images);
        expect_direction(&text, cases[i], "image_to_text", &got.image_to_text);
        expect_direction(&text, cases[i], "text_to_image", &got.text_to_image);
        input_close(&x);
    }
    buffer_free(&text);
}
END_TEST

// Every tile of ROWS x COLUMNS, the last ones first. Copied, so that only the tile's own numbers
// are there.
static void show_tiles(retrieval *r, const input *x, int64_t rows, int64_t columns,
                       void (*show)(retrieval *, retrieval_tile), bool only_hits) {
    for (int64_t i = (x->images - 1) / rows * rows; i >= 0; i -= rows)
        for (int64_t j = (x->texts - 1) / columns * columns; j >= 0; j -= columns) {
            retrieval_tile t = {.first_image = i, .first_text = j, .stride = columns + 1};
            float *copy;
            int64_t hits = 0;
            t.images = x->images - i < rows ? x->images - i : rows;
            t.texts = x->texts - j < columns ? x->texts - j : columns;
            ck_assert(!mem_new(&copy, t.images * t.stride, "a tile"));
            for (int64_t a = 0; a < t.images; a++)
                for (int64_t b = 0; b < t.texts; b++) {
                    copy[a * t.stride + b] = x->scores[(i + a) * x->texts + j + b];
                    hits += x->image_group[i + a] == x->text_group[j + b];
                }
            t.score = copy;
            if (hits || !only_hits) show(r, t);
            mem_free(copy);
        }
}

START_TEST(tiles_give_the_same) {
    static const int64_t sizes[][2] = {{1, 1}, {1, 100}, {100, 1}, {4, 7}, {16, 16}, {100, 5}};
    buffer text = golden_open(TEST_DATA "/retrieval.txt");
    for (int i = 0; i < CASES; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            input x = input_open(&text, cases[i]);
            retrieval r;
            retrieval_scores got;
            ck_assert(!retrieval_open(&r, x.image_group, x.images, x.text_group, x.texts));
            show_tiles(&r, &x, sizes[k][0], sizes[k][1], retrieval_hits, k % 2);
            show_tiles(&r, &x, sizes[k][0], sizes[k][1], retrieval_compare, false);
            ck_assert(!retrieval_measure(&got, &r));
            retrieval_close(&r);
            expect_direction(&text, cases[i], "image_to_text", &got.image_to_text);
            expect_direction(&text, cases[i], "text_to_image", &got.text_to_image);
            input_close(&x);
        }
    buffer_free(&text);
}
END_TEST

START_TEST(bad_groups_are_an_error) {
    const float scores[6] = {0};
    const int64_t images[] = {1, 2}, texts[] = {2, 1, 1}, strangers[] = {2, 1, 5};
    retrieval_scores got;
    expect_failure(retrieval_of_matrix(&got, scores, images, 0, texts, 3), STATUS_FORMAT,
                   "no images", "0 images", "3 texts");
    expect_failure(retrieval_of_matrix(&got, scores, images, 2, texts, 0), STATUS_FORMAT,
                   "no texts", "2 images", "0 texts");
    expect_failure(retrieval_of_matrix(&got, scores, images, 2, strangers, 3), STATUS_FORMAT,
                   "a text alone", "text 2 of group 5", "no image");
    expect_failure(retrieval_of_matrix(&got, scores, images, 2, texts, 1), STATUS_FORMAT,
                   "an image alone", "image 0 of group 1", "no text");
    ck_assert_int_eq(retrieval_of_matrix(&got, scores, images, 2, texts, 3), STATUS_OK);
    for (int n = 1; n <= 10; n++) {
        mem_fail_at(n);
        ck_assert_int_eq(retrieval_of_matrix(&got, scores, images, 2, texts, 3), STATUS_MEMORY);
    }
    mem_fail_at(11);
    ck_assert_int_eq(retrieval_of_matrix(&got, scores, images, 2, texts, 3), STATUS_OK);
    mem_fail_at(0);
}
END_TEST

static const int64_t two[] = {0, 1};
static const float four[] = {1, 0, 0, 1};
static const retrieval_tile whole = {.images = 2, .texts = 2, .score = four, .stride = 2};

static void compare_unseen(void) {
    retrieval r;
    retrieval_scores out;
    if (retrieval_open(&r, two, 2, two, 2)) return;
    retrieval_compare(&r, whole);
    retrieval_measure(&out, &r);
}

static void measure_half(void) {
    retrieval r;
    retrieval_scores out;
    retrieval_tile half = whole;
    half.images = 1;
    if (retrieval_open(&r, two, 2, two, 2)) return;
    retrieval_hits(&r, whole);
    retrieval_compare(&r, half);
    retrieval_measure(&out, &r);
}

static void tile_outside(void) {
    retrieval r;
    retrieval_tile shifted = whole;
    shifted.first_text = 1;
    if (!retrieval_open(&r, two, 2, two, 2)) retrieval_hits(&r, shifted);
}

START_TEST(our_own_mistakes) {
    expect_death(compare_unseen, "hits not shown");
    expect_death(measure_half, "pairs not compared");
    expect_death(tile_outside, "a tile outside");
}
END_TEST

static void expect_binary(const buffer *text, const char *name) {
    golden_values logits = golden_part(text, name, "logits"),
                  target = golden_part(text, name, "target");
    const int64_t count = (int64_t)target.count;
    binary_counts whole_counts = {0}, counts = {0};
    float *numbers;
    uint8_t *targets;
    ck_assert_uint_eq(logits.count, 2 * target.count);
    ck_assert(!mem_new(&numbers, logits.count, "logits"));
    ck_assert(!mem_new(&targets, target.count, "targets"));
    for (size_t i = 0; i < logits.count; i++) numbers[i] = (float)logits.value[i];
    for (size_t i = 0; i < target.count; i++) targets[i] = (uint8_t)target.value[i];
    ck_assert_int_eq(binary_add(&whole_counts, numbers, targets, count), STATUS_OK);
    for (int64_t i = 0; i < count; i += 7)
        ck_assert_int_eq(
            binary_add(&counts, numbers + 2 * i, targets + i, count - i < 7 ? count - i : 7),
            STATUS_OK);
    ck_assert_mem_eq(&counts, &whole_counts, sizeof counts);
    binary_scores got = binary_measure(&counts);
    expect_numbers(text, name, "recall", got.recall, 2);
    expect_number(got.accuracy, golden_number(text, name, "accuracy"), name, "accuracy");
    expect_number(got.balanced_accuracy, golden_number(text, name, "balanced"), name, "balanced");
    mem_free(numbers);
    mem_free(targets);
    mem_free(logits.value);
    mem_free(target.value);
}

START_TEST(binary_equals_scikit_learn) {
    static const char *const decisions[] = {"itm", "itm_nan", "tied", "one_class", "one_row"};
    buffer text = golden_open(TEST_DATA "/retrieval.txt");
    for (size_t i = 0; i < sizeof decisions / sizeof *decisions; i++)
        expect_binary(&text, decisions[i]);
    buffer_free(&text);
}
END_TEST

START_TEST(binary_without_rows_and_with_bad_targets) {
    const float logits[] = {0, 1, 1, 0};
    const uint8_t targets[] = {1, 2};
    binary_counts counts = {0};
    binary_scores none = binary_measure(&counts);
    ck_assert(isnan(none.accuracy) && isnan(none.balanced_accuracy) && isnan(none.recall[0]));
    expect_failure(binary_add(&counts, logits, targets, 2), STATUS_FORMAT, "target", "row 1 is 2",
                   NULL);
    ck_assert_int_eq(counts.rows[0] + counts.rows[1], 0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {retrieval_equals_numpy,
                                  tiles_give_the_same,
                                  bad_groups_are_an_error,
                                  our_own_mistakes,
                                  binary_equals_scikit_learn,
                                  binary_without_rows_and_with_bad_targets,
                                  NULL};
    return run_suite(suite_of("retrieval", tests));
}
