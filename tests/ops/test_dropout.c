#include "models/ops/draw_cpu.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    return dropout(t, in[0], *(const double *)context);
}

static tensor *run_path(tape *t, tensor **in, const void *context) {
    return drop_path(t, in[0], *(const double *)context);
}

START_TEST(dropout_shapes) {
    static const int64_t dims[][3] = {{1, 1, 3}, {2, 3, 5}, {7, 1, 11}, {3, 16, 16}, {4, 37, 41}};
    static const double rates[] = {0.1, 0.5};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (int r = 0; r < 2; r++) {
            op_input in = {
                .rank = 3, .dim = {dims[i][0], dims[i][1], dims[i][2]}, .gradient = true};
            op_case c = {.op = "dropout", .input = {in}, .inputs = 1, .run = run};
            c.context = &rates[r];
            c.training = true;
            op_check(&c);
            if (dims[i][0] == 1) continue; // the only sample may be the dropped one
            c.op = "drop_path";
            c.run = run_path;
            op_check(&c);
        }
}
END_TEST

// The words made side by side are those made one by one, from any first one, also where the block's
// number passes 2^32.
START_TEST(dropout_words) {
    static const uint64_t firsts[] = {0, 1, 2, 3, 4, 127, 1023, 4294967290, 17179869100};
    uint32_t words[300];
    rng_key key = {0x123456789abcdef, 77, 5};
    for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++)
        for (int64_t count = 0; count < 300; count = count * 2 + 1) {
            memset(words, 0xab, sizeof words);
            draw_words_cpu(words, key, 9, firsts[f], count);
            for (int64_t i = 0; i < count; i++)
                ck_assert_uint_eq(words[i], rng_word(key, 9, firsts[f] + (uint64_t)i));
            ck_assert_uint_eq(words[count], 0xabababab);
        }
    for (int i = 0; i < 1000; i++) {
        double rate = i / 1000.0;
        uint32_t word = (draw_limit(rate) << 8) - (i & 1); // at the limit and just below
        bool drop = (double)((float)(word >> 8) * 0x1p-24f) < rate;
        ck_assert(drop == (word >> 8 < draw_limit(rate)));
    }
}
END_TEST

// Kept elements are scaled, dropped ones 0, and the share of dropped ones is within five standard
// deviations of the binomial distribution.
START_TEST(dropout_share) {
    enum { SAMPLES = 40, COUNT = 5003 };
    static const double rates[] = {0.05, 0.1, 0.5, 0.9};
    for (int r = 0; r < 4; r++) {
        tape t;
        tape_open_large(&t, false);
        t.training = true;
        float *x = random_floats(SAMPLES * COUNT, 1, 1, 2);
        tensor in = tensor_over(x, DTYPE_F32, 2, (int64_t[]){SAMPLES, COUNT});
        const float *y = dropout(&t, &in, rates[r])->data;
        const float *path = drop_path(&t, &in, rates[r])->data;
        float scale = (float)(1 / (1 - rates[r]));
        int dropped = 0;
        for (int i = 0; i < SAMPLES * COUNT; i++) {
            dropped += y[i] == 0;
            ck_assert(y[i] == 0 || y[i] == x[i] * scale);
            ck_assert((path[i] == 0) == (path[i / COUNT * COUNT] == 0));
            ck_assert(path[i] == 0 || path[i] == x[i] * scale);
        }
        double n = SAMPLES * COUNT, allowed = 5 * sqrt(n * rates[r] * (1 - rates[r]));
        ck_assert_double_le(fabs(dropped - n * rates[r]), allowed);
        free(x);
        tape_free(&t);
    }
}
END_TEST

// What a global sample loses does not depend on how the batch is split, on either side of the tape.
START_TEST(dropout_split) {
    enum { SAMPLES = 8, COUNT = 1031 };
    float *x = random_floats(SAMPLES * COUNT, 1, 1, 2), *y[2][2];
    for (int path = 0; path < 2; path++) {
        y[path][0] = calloc(SAMPLES * COUNT, sizeof(float));
        y[path][1] = calloc(SAMPLES * COUNT, sizeof(float));
        for (int split = 0; split < 2; split++) {
            int64_t parts[][2] = {{0, split ? 3 : SAMPLES}, {3, SAMPLES}};
            for (int p = 0; p <= split; p++) {
                int64_t first = parts[p][0], samples = parts[p][1] - first;
                tape t;
                tape_open_large(&t, false);
                t.training = true;
                t.seed = 11;
                t.step = 12;
                t.first_sample = (uint32_t)(100 + first);
                tensor in =
                    tensor_over(x + first * COUNT, DTYPE_F32, 2, (int64_t[]){samples, COUNT});
                tensor *out = (path ? drop_path : dropout)(&t, &in, 0.4);
                memcpy(y[path][split] + first * COUNT, out->data, tensor_bytes(out));
                tape_free(&t);
            }
        }
        ck_assert(!memcmp(y[path][0], y[path][1], SAMPLES * COUNT * sizeof(float)));
    }
    for (int i = 0; i < 4; i++) free(y[i / 2][i % 2]);
    free(x);
}
END_TEST

enum { MOST_ROWS = 300 };

// Rows of samples of 1 to 5 positions, the samples' numbers falling, with fillers between and
// behind.
static void make_rows(int32_t (*rows)[2], int64_t count) {
    int32_t sample = 1000, position = 0;
    for (int64_t r = 0; r < count; r++) {
        rows[r][0] = r % 7 == 3 || r == count - 1 ? -1 : sample;
        rows[r][1] = position++;
        if (position > sample % 5) sample--, position = 0;
    }
}

typedef struct rows_case {
    int64_t rows, D;
    double rate;
} rows_case;

static tensor *run_rows(tape *t, tensor **in, const void *context) {
    const rows_case *c = context;
    int32_t rows[MOST_ROWS][2];
    make_rows(rows, c->rows);
    tensor map = constant_i32(rows[0], 2, (int64_t[]){c->rows, 2});
    return dropout_rows(t, in[0], &map, c->rate);
}

START_TEST(rows_shapes) {
    // Whole packs and single elements; wider than what is drawn at once, and from the middle of a
    // block on.
    static const rows_case cases[] = {{1, 1, 0.5},  {9, 5, 0.1},    {6, 16, 0.5},
                                      {7, 72, 0.3}, {3, 1029, 0.2}, {MOST_ROWS, 24, 0.1}};
    const rows_case *c = &cases[_i];
    op_check(&(op_case){.op = "dropout_rows",
                        .input = {{.rank = 2, .dim = {c->rows, c->D}, .gradient = true}},
                        .inputs = 1,
                        .run = run_rows,
                        .context = c,
                        .training = true});
}
END_TEST

// Packed rows lose what the same rows of a padded batch do, bit by bit; a filler's row is a copy,
// also of NaN.
START_TEST(rows_equal_padded) {
    enum { SAMPLES = 5, TOKENS = 7, N = 23 };
    static const int64_t widths[] = {1, 6, 32, 1030};
    int64_t D = widths[_i % 4];
    float *x = random_floats(SAMPLES * TOKENS * D, 1, 1, 2),
          *packed = calloc((size_t)(N * D), sizeof *packed);
    int32_t rows[N][2];
    tape t;
    tape_open_large(&t, _i >= 4);
    t.training = true;
    t.seed = 9, t.step = 3, t.first_sample = 40;
    for (int r = 0; r < N; r++) {
        int b = r * r % SAMPLES, p = (5 * r + 2) % TOKENS;
        rows[r][0] = r % 6 == 5 ? -1 - r : 40 + b;
        rows[r][1] = p;
        for (int64_t d = 0; d < D; d++)
            packed[r * D + d] = r % 6 == 5 ? NAN : x[(b * TOKENS + p) * D + d];
    }
    tensor in = tensor_over(x, DTYPE_F32, 3, (int64_t[]){SAMPLES, TOKENS, D});
    tensor rows_in = tensor_over(packed, DTYPE_F32, 2, (int64_t[]){N, D});
    tensor map = tensor_over(rows, DTYPE_I32, 2, (int64_t[]){N, 2});
    double *wide[2] = {to_doubles(x, SAMPLES * TOKENS * D), to_doubles(packed, N * D)};
    if (_i >= 4) {
        in.type = rows_in.type = DTYPE_F64;
        in.data = wide[0], rows_in.data = wide[1];
    }
    const tensor *y = dropout(&t, &in, 0.4);
    t.draws = 0;
    t.first_sample = 77; // rows say themselves where they are
    const tensor *z = dropout_rows(&t, &rows_in, &map, 0.4);
    for (int r = 0; r < N; r++)
        for (int64_t d = 0; d < D; d++) {
            double got = element_get(z->data, r * D + d, z->type);
            int64_t from = ((rows[r][0] - 40) * TOKENS + rows[r][1]) * D + d;
            if (rows[r][0] < 0)
                ck_assert(isnan(got));
            else
                ck_assert(got == element_get(y->data, from, y->type));
        }
    free(x), free(packed), free(wide[0]), free(wide[1]);
    tape_free(&t);
}
END_TEST

// No rows: nothing to do, and nothing goes wrong.
START_TEST(rows_none) {
    device *d = test_device(_i);
    double nothing[1] = {77};
    if (!d) return;
    dropout_shape z = {
        .samples = 0, .per_sample = 16, .group = 1, .rate = 0.5, .rows = (int32_t[]){5, 5}};
    d->ops->dropout_forward(nothing, nothing, &z, d->type, d->stream);
    d->ops->dropout_backward(nothing, nothing, &z, 1, d->type, d->stream);
    ck_assert(nothing[0] == 77);
    tape t;
    tape_open_large(&t, false);
    t.training = true;
    tensor empty = tensor_over(nothing, DTYPE_F32, 2, (int64_t[]){0, 16});
    tensor map = tensor_over(nothing, DTYPE_I32, 2, (int64_t[]){0, 2});
    ck_assert_int_eq(dropout_rows(&t, &empty, &map, 0.5)->dim[0], 0);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    tape_free(&t);
}
END_TEST

// Off it is no call at all; sites, steps and seeds drop different elements; a dropped NaN is gone.
START_TEST(dropout_keys) {
    enum { COUNT = 512 };
    tape t;
    tape_open_large(&t, false);
    float *x = random_floats(COUNT, 1, 1, 2);
    tensor in = tensor_over(x, DTYPE_F32, 2, (int64_t[]){2, COUNT / 2});
    tensor map = tensor_over((int32_t[]){0, 0, 0, 1}, DTYPE_I32, 2, (int64_t[]){2, 2});
    ck_assert(dropout(&t, &in, 0.5) == &in && dropout_rows(&t, &in, &map, 0.5) == &in);
    t.training = true;
    ck_assert(dropout(&t, &in, 0) == &in && drop_path(&t, &in, 0) == &in);
    ck_assert(dropout_rows(&t, &in, &map, 0) == &in);
    ck_assert_uint_eq(t.draws, 0);
    const float *y[4];
    y[0] = dropout(&t, &in, 0.5)->data;
    y[1] = dropout(&t, &in, 0.5)->data;
    t.draws = 0, t.step++;
    y[2] = dropout(&t, &in, 0.5)->data;
    t.draws = 0, t.step--, t.seed++;
    y[3] = dropout(&t, &in, 0.5)->data;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++) ck_assert(memcmp(y[i], y[k], COUNT * sizeof(float)));
    t.draws = 0, t.seed--;
    for (int i = 0; i < COUNT; i++)
        if (y[0][i] == 0) x[i] = NAN;
    const float *again = dropout(&t, &in, 0.5)->data;
    ck_assert(!memcmp(again, y[0], COUNT * sizeof(float)));
    free(x);
    tape_free(&t);
}
END_TEST

static void rate_of_one(tape *t) {
    dropout(t, tape_tensor(t, 1, (int64_t[]){3}), 1);
}

START_TEST(dropout_wrong_rate) {
    expect_death(rate_of_one, "dropout: the rate is 1");
}
END_TEST

static void short_map(tape *t) {
    tensor *map = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){3, 2});
    dropout_rows(t, tape_tensor(t, 2, (int64_t[]){4, 8}), map, 0.1);
}

static void wrong_map(tape *t) {
    tensor *map = tape_tensor(t, 2, (int64_t[]){4, 2});
    dropout_rows(t, tape_tensor(t, 2, (int64_t[]){4, 8}), map, 0.1);
}

START_TEST(rows_wrong_map) {
    expect_death(short_map, "dropout_rows rows: has shape (3, 2), expected (4, 2)");
    expect_death(wrong_map, "dropout_rows rows: is F32, expected I32");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("dropout");
    TCase *tests = tcase_create("dropout");
    tcase_add_test(tests, dropout_shapes);
    tcase_add_test(tests, dropout_words);
    tcase_add_test(tests, dropout_share);
    tcase_add_test(tests, dropout_split);
    tcase_add_test(tests, dropout_keys);
    tcase_add_test(tests, dropout_wrong_rate);
    tcase_add_loop_test(tests, rows_shapes, 0, 6);
    tcase_add_loop_test(tests, rows_equal_padded, 0, 8);
    tcase_add_loop_test(tests, rows_none, 0, TEST_DEVICES);
    tcase_add_test(tests, rows_wrong_map);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
