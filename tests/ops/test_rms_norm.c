#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <stdlib.h>
#include <string.h>

// What there is of y, and what the loss is made of.
enum { BOTH, OUT, SUM, UNASKED, ALONE, BESIDE }; // the last two without y

typedef struct norm_case {
    int64_t rows, D;
    int kind;
} norm_case;

static bool adds(const norm_case *c) {
    return c->kind < ALONE;
}

// Inputs are x, y (where there is one), weight.
static tensor *run(tape *t, tensor **in, const void *context) {
    const norm_case *c = context;
    tensor *sum = NULL, *y = adds(c) ? in[1] : NULL;
    tensor *out = rms_norm(t, c->kind == UNASKED ? NULL : &sum, in[0], y, in[1 + adds(c)], 1e-2);
    if (c->kind == SUM) return sum;
    if (c->kind != BOTH && c->kind != BESIDE) return out;
    ck_assert(adds(c) == (sum != in[0]));
    out = tape_view(t, out, 3, (int64_t[]){c->rows, 1, c->D});
    return concat_tokens(t, out, tape_view(t, sum, 3, (int64_t[]){c->rows, 1, c->D}));
}

static op_case case_of(const norm_case *c) {
    op_case k = {.op = "rms_norm", .run = run, .context = c, .tolerance = 1e-5};
    for (int i = 0; i < 1 + adds(c); i++)
        k.input[k.inputs++] = (op_input){.rank = 2, .dim = {c->rows, c->D}, .gradient = true};
    k.input[k.inputs++] =
        (op_input){.rank = 1, .dim = {c->D}, .gradient = true, .low = 0.5, .high = 1.5};
    return k;
}

// Rows that are no whole packs and more of them than blocks in the sums; on the GPU one to eight
// packs to a thread, and groups of a warp and of a block.
START_TEST(rms_norm_shapes) {
    static const norm_case cases[] = {
        {1, 1, BOTH},    {1, 5, BOTH},    {7, 17, BOTH},   {9, 48, BOTH},    {70, 33, BOTH},
        {300, 40, BOTH}, {21, 768, BOTH}, {5, 2304, BOTH}, {3, 1999, BOTH},  {3, 4096, BOTH},
        {2, 8192, BOTH}, {6, 301, BOTH},  {70, 33, ALONE}, {21, 768, ALONE}, {3, 4096, ALONE}};
    op_case k = case_of(&cases[_i]);
    op_check(&k);
}
END_TEST

// Every choice of gradients that are wanted. A frozen weight is the rule with LoRA.
START_TEST(rms_norm_wanted) {
    static const norm_case cases[] = {{11, 19, BOTH}, {67, 24, BOTH}};
    op_case k = case_of(&cases[_i / 8]);
    bool some = false;
    for (int i = 0; i < 3; i++) some |= k.input[i].gradient = _i >> i & 1;
    if (!some) return;
    op_check(&k);
}
END_TEST

// Without y: x alone, weight alone.
START_TEST(rms_norm_alone) {
    static const norm_case c = {13, 24, ALONE};
    op_case k = case_of(&c);
    k.input[_i].gradient = false;
    op_check(&k);
}
END_TEST

// The loss is made of one of the two outputs, the sum is not asked for, or x itself goes on beside
// its norm.
START_TEST(rms_norm_outputs) {
    static const norm_case cases[] = {
        {7, 24, OUT}, {7, 24, UNASKED}, {7, 24, BESIDE}, {7, 24, SUM}};
    op_case k = case_of(&cases[_i]);
    if (cases[_i].kind == SUM) k.input[2].gradient = false; // nothing depends on the weight
    op_check(&k);
}
END_TEST

static tensor *run_twin(tape *t, tensor **in, const void *context) {
    return run(t, (tensor *[]){in[0], in[0], in[1]}, context);
}

// x and y are one tensor: its gradient is the sum of both.
START_TEST(rms_norm_twin) {
    static const norm_case cases[] = {{7, 24, BOTH}, {13, 21, BOTH}};
    op_case k = case_of(&cases[_i]);
    k.inputs = 2;
    k.input[1] = k.input[2];
    k.run = run_twin;
    op_check(&k);
}
END_TEST

// --- bare kernels --------------------------------------------------------------------------------
enum { ROWS = 203, WIDE = 520, COUNT = ROWS * WIDE };
enum { O, S, DX, DY, DW, RSTD, RESULTS };

// What the kernels of the CPU with THREADS threads make of fixed numbers, to be freed.
static void bare_run(float *f[RESULTS], int threads, int acc) {
    device *d;
    ck_assert_int_eq(device_open_cpu(&d, threads), 0);
    float *x = random_floats(COUNT, 1, -1, 1), *y = random_floats(COUNT, 2, -1, 1);
    float *w = random_floats(WIDE, 3, 0.5, 1.5), *ds = random_floats(COUNT, 4, -1, 1);
    for (int i = 0; i < RESULTS; i++) f[i] = random_floats(COUNT, 5, 1, 2);
    void *scratch = malloc(rms_norm_scratch_cpu(ROWS, WIDE, DTYPE_F32, d->stream));
    rms_norm_forward_cpu(f[O], f[S], f[RSTD], x, y, w, ROWS, WIDE, 1e-5, DTYPE_F32, d->stream);
    rms_norm_backward_cpu(f[DX], f[DY], f[DW], y, ds, f[S], f[RSTD], w, ROWS, WIDE, acc, acc, acc,
                          DTYPE_F32, scratch, d->stream);
    free(x), free(y), free(w), free(ds), free(scratch);
    device_close(d);
}

// The same bits with any number of threads, and the gradients' sums are those of the oracle.
START_TEST(rms_norm_threads) {
    float *one[RESULTS], *n[RESULTS];
    bare_run(one, 1, _i);
    for (int threads = 2; threads < 8; threads++) {
        bare_run(n, threads, _i);
        for (int i = 0; i < RESULTS; i++) {
            ck_assert(!memcmp(one[i], n[i], COUNT * sizeof(float)));
            free(n[i]);
        }
    }
    for (int i = 0; i < RESULTS; i++) free(one[i]);
}
END_TEST

// Numbers whose squares sum up to little beside eps, and to much: rows in one type and scale.
START_TEST(rms_norm_sizes) {
    static const double sizes[] = {1e-12, 1e-3, 1, 100, 6e4};
    enum { D = 64 };
    device *d = test_device(ON_CPU);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        float *x = random_floats(D, 1, -sizes[k], sizes[k]), *w = random_floats(D, 3, 0.5, 1.5);
        float out[D], rstd;
        double *X = to_doubles(x, D), *W = to_doubles(w, D), exact[D], r;
        rms_norm_forward_cpu(out, NULL, &rstd, x, NULL, w, 1, D, 1e-6, DTYPE_F32, d->stream);
        rms_norm_forward_oracle(exact, NULL, &r, X, NULL, W, 1, D, 1e-6, DTYPE_F64, NULL);
        ck_assert_double_le(relative_distance(out, exact, D), 1e-6);
        free(x), free(w), free(X), free(W);
    }
}
END_TEST

// No rows: the weight's gradient is zero where it is the first and stays otherwise; nothing else
// is written.
START_TEST(rms_norm_no_rows) {
    enum { WIDTH = 16 };
    device *d = test_device(_i);
    if (!d) return;
    const dtype wide = dtype_wide(d->type);
    const size_t bytes = WIDTH * dtype_size(wide);
    double host[WIDTH];
    void *scratch = device_hold(d, host, 0);
    device_fetch(d, NULL, scratch, 0);
    ck_assert_int_eq(
        d->take(d, d->ops->rms_norm_scratch(0, WIDTH, d->type, d->stream) + 1, "it", &scratch), 0);
    for (int k = 0; k < WIDTH; k++) element_put(host, k, 3, wide);
    for (int acc = 0; acc < 2; acc++) {
        void *dw = device_hold(d, host, bytes), *other = device_hold(d, host, bytes);
        d->ops->rms_norm_forward(other, other, other, other, other, other, 0, WIDTH, 1e-5, d->type,
                                 d->stream);
        d->ops->rms_norm_backward(other, other, dw, other, other, other, other, other, 0, WIDTH, 0,
                                  0, acc, d->type, scratch, d->stream);
        double sums[WIDTH], untouched[WIDTH];
        device_fetch(d, sums, dw, bytes);
        device_fetch(d, untouched, other, bytes);
        for (int k = 0; k < WIDTH; k++) {
            ck_assert(element_get(sums, k, wide) == (acc ? 3 : 0));
            ck_assert(element_get(untouched, k, wide) == 3);
        }
    }
    device_fetch(d, NULL, scratch, 0);
    ck_assert_int_eq(device_failed(d), STATUS_OK);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static void norm_of(tape *t, int64_t rows, int64_t width, dtype type, dtype weight) {
    tensor *x = tape_tensor(t, 2, (int64_t[]){3, 4}), *sum;
    rms_norm(t, &sum, x, tape_tensor_of(t, type, 2, (int64_t[]){rows, 4}),
             tape_tensor_of(t, weight, 1, &width), 1e-5);
}
static void other_y(tape *t) {
    norm_of(t, 4, 4, DTYPE_F32, DTYPE_F32);
}
static void other_width(tape *t) {
    norm_of(t, 3, 5, DTYPE_F32, DTYPE_F32);
}
static void other_type(tape *t) {
    norm_of(t, 3, 4, DTYPE_BF16, DTYPE_F32);
}
static void narrow_weight(tape *t) {
    norm_of(t, 3, 4, DTYPE_F32, DTYPE_BF16);
}
static void too_wide(tape *t) {
    tensor *x = tape_tensor(t, 2, (int64_t[]){1, 8193});
    rms_norm(t, NULL, x, NULL, tape_tensor(t, 1, &x->dim[1]), 1e-5);
}

START_TEST(rms_norm_wrong_calls) {
    expect_death(other_y, "rms_norm y: has shape (4, 4), expected (3, 4)");
    expect_death(other_width, "rms_norm weight: has shape (5), expected (4)");
    expect_death(other_type, "rms_norm y: is BF16, expected F32");
    expect_death(narrow_weight, "rms_norm weight: is BF16, expected F32");
    expect_death(too_wide, "rms_norm: rows of 8193, expected at most 8192");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("rms_norm");
    TCase *tests = tcase_create("rms_norm");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, rms_norm_shapes, 0, 15);
    tcase_add_loop_test(tests, rms_norm_wanted, 1, 16);
    tcase_add_loop_test(tests, rms_norm_alone, 0, 2);
    tcase_add_loop_test(tests, rms_norm_outputs, 0, 4);
    tcase_add_loop_test(tests, rms_norm_twin, 0, 2);
    tcase_add_loop_test(tests, rms_norm_threads, 0, 2);
    tcase_add_test(tests, rms_norm_sizes);
    tcase_add_loop_test(tests, rms_norm_no_rows, 0, TEST_DEVICES);
    tcase_add_test(tests, rms_norm_wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
