#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <stdlib.h>
#include <string.h>

typedef struct conv_case {
    int64_t B, H, W, C, O, K;
    int stride, pad;
    bool bias;
} conv_case;

static const conv_case cases[] = {
    {1, 1, 1, 1, 1, 1, 1, 0, true},    // a single number
    {1, 3, 3, 1, 1, 3, 1, 0, false},   // a single window
    {2, 5, 7, 3, 5, 3, 1, 1, true},    //
    {1, 6, 6, 4, 3, 3, 2, 1, false},   // a last row that no window reaches the end of
    {2, 7, 5, 17, 19, 3, 2, 0, true},  // channels that fill no vector
    {1, 9, 9, 16, 32, 3, 1, 1, false}, // channels that do
    {2, 4, 3, 6, 7, 1, 1, 0, true},    // a matrix product
    {2, 33, 32, 5, 7, 1, 1, 0, true},  // one with a packed weight
    {2, 5, 6, 8, 3, 1, 2, 0, true},    // a downsample
    {1, 5, 5, 2, 3, 1, 1, 1, true},    // one pixel with padding is no matrix product
    {2, 15, 13, 1, 5, 7, 2, 3, false}, // the stem
    {1, 14, 16, 3, 4, 7, 2, 3, true},  // the stem on colours
    {1, 4, 4, 2, 2, 7, 1, 3, true},    // a window larger than the image
    {1, 20, 21, 33, 31, 3, 1, 1, true},
};
enum { CASES = sizeof cases / sizeof *cases };

static tensor *run(tape *t, tensor **in, const void *context) {
    const conv_case *c = context;
    return conv2d(t, in[0], in[1], c->bias ? in[2] : NULL, c->stride, c->pad);
}

START_TEST(conv2d_shapes) {
    const conv_case *c = &cases[_i];
    op_check(&(op_case){
        .op = "conv2d",
        .input = {{.rank = 4, .dim = {c->B, c->H, c->W, c->C}, .gradient = true},
                  {.rank = 4, .dim = {c->O, c->K, c->K, c->C}, .gradient = true, .weight = true},
                  {.rank = 1, .dim = {c->O}, .gradient = true}},
        .inputs = c->bias ? 3 : 2,
        .run = run,
        .context = c,
    });
}
END_TEST

// A frozen weight, and images that want no gradient: the rule leaves out what nobody asks for.
START_TEST(conv2d_parts_of_the_gradient) {
    const conv_case *c = &cases[_i / 3];
    op_check(&(op_case){
        .op = "conv2d",
        .input = {{.rank = 4, .dim = {c->B, c->H, c->W, c->C}, .gradient = _i % 3 == 0},
                  {.rank = 4, .dim = {c->O, c->K, c->K, c->C}, .gradient = _i % 3 == 1, .weight = true},
                  {.rank = 1, .dim = {c->O}, .gradient = c->bias && _i % 3 == 2}},
        .inputs = c->bias ? 3 : 2,
        .run = run,
        .context = c,
    });
}
END_TEST

// --- bare kernels --------------------------------------------------------------------------------
static window_shape shape_of(const conv_case *c) {
    return (window_shape){.B = c->B,
                          .H = c->H,
                          .W = c->W,
                          .C = c->C,
                          .O = c->O,
                          .OH = (c->H + 2 * c->pad - c->K) / c->stride + 1,
                          .OW = (c->W + 2 * c->pad - c->K) / c->stride + 1,
                          .K = c->K,
                          .stride = c->stride,
                          .pad = c->pad};
}

// Three arrays in and what the three kernels make of them, added to ones where acc.
enum { INP, WEIGHT, BIAS, DOUT, OUT, DINP, DWEIGHT, DBIAS, ARRAYS };

typedef struct conv_run {
    int64_t count[ARRAYS];
    float *x[ARRAYS];
} conv_run;

static void run_open(conv_run *r, const window_shape *z, bool whole) {
    const int64_t inp = z->B * z->H * z->W * z->C, out = z->B * z->OH * z->OW * z->O;
    const int64_t weight = z->O * z->K * z->K * z->C;
    memcpy(r->count, (int64_t[]){inp, weight, z->O, out, out, inp, weight, z->O}, sizeof r->count);
    for (uint32_t i = 0; i < ARRAYS; i++)
        r->x[i] = whole ? random_integers(r->count[i], i, 8) : random_floats(r->count[i], i, -1, 1);
}

static void run_close(conv_run *r) {
    for (int i = 0; i < ARRAYS; i++) free(r->x[i]);
}

static void run_cpu(conv_run *r, const window_shape *z, int acc) {
    device *d = test_device(false);
    void *scratch;
    ck_assert_int_eq(d->take(d, conv2d_scratch_cpu(z, DTYPE_F32, d->stream) + 1, "", &scratch), 0);
    conv2d_forward_cpu(r->x[OUT], r->x[INP], r->x[WEIGHT], r->x[BIAS], z, DTYPE_F32, scratch,
                       d->stream);
    conv2d_backward_input_cpu(r->x[DINP], r->x[DOUT], r->x[WEIGHT], z, acc, DTYPE_F32, scratch,
                              d->stream);
    conv2d_backward_weight_cpu(r->x[DWEIGHT], r->x[DBIAS], r->x[DOUT], r->x[INP], z, acc, acc,
                               DTYPE_F32, scratch, d->stream);
    ck_assert_int_eq(device_failed(d), STATUS_OK);
    d->release(d, scratch);
}

// Whole numbers whose sums are exact in any order: every bit must be the oracle's.
START_TEST(conv2d_whole_numbers) {
    window_shape z = shape_of(&cases[_i]);
    for (int acc = 0; acc < 2; acc++) {
        conv_run r;
        double *x[ARRAYS];
        run_open(&r, &z, true);
        for (int i = 0; i < ARRAYS; i++) x[i] = to_doubles(r.x[i], r.count[i]);
        run_cpu(&r, &z, acc);
        conv2d_forward_oracle(x[OUT], x[INP], x[WEIGHT], x[BIAS], &z, DTYPE_F64, NULL, NULL);
        conv2d_backward_input_oracle(x[DINP], x[DOUT], x[WEIGHT], &z, acc, DTYPE_F64, NULL, NULL);
        conv2d_backward_weight_oracle(x[DWEIGHT], x[DBIAS], x[DOUT], x[INP], &z, acc, acc,
                                      DTYPE_F64, NULL, NULL);
        for (int i = OUT; i < ARRAYS; i++)
            for (int64_t e = 0; e < r.count[i]; e++)
                ck_assert_msg((double)r.x[i][e] == x[i][e], "array %d at %lld: %g, expected %g", i,
                              (long long)e, (double)r.x[i][e], x[i][e]);
        for (int i = 0; i < ARRAYS; i++) free(x[i]);
        run_close(&r);
    }
}
END_TEST

START_TEST(conv2d_same_bits_again) {
    window_shape z = shape_of(&cases[_i]);
    conv_run a, b;
    run_open(&a, &z, false);
    run_open(&b, &z, false);
    run_cpu(&a, &z, 1);
    run_cpu(&b, &z, 1);
    for (int i = OUT; i < ARRAYS; i++)
        ck_assert_mem_eq(a.x[i], b.x[i], (size_t)a.count[i] * sizeof(float));
    run_close(&a);
    run_close(&b);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static void other_channels(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){1, 4, 4, 3});
    tensor w = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){2, 3, 3, 4});
    conv2d(t, &x, &w, NULL, 1, 1);
}

static void oblong_window(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){1, 4, 4, 3});
    tensor w = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){2, 3, 1, 3});
    conv2d(t, &x, &w, NULL, 1, 1);
}

static void window_too_large(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){1, 4, 2, 3});
    tensor w = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){2, 3, 3, 3});
    conv2d(t, &x, &w, NULL, 1, 0);
}

START_TEST(conv2d_wrong_shapes) {
    expect_death(other_channels, "conv2d weight");
    expect_death(oblong_window, "conv2d weight");
    expect_death(window_too_large, "window 3");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("conv2d");
    TCase *tests = tcase_create("shapes");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, conv2d_shapes, 0, CASES);
    tcase_add_loop_test(tests, conv2d_parts_of_the_gradient, 6, 9);
    tcase_add_loop_test(tests, conv2d_parts_of_the_gradient, 18, 21);
    tcase_add_loop_test(tests, conv2d_whole_numbers, 0, CASES);
    tcase_add_loop_test(tests, conv2d_same_bits_again, 0, CASES);
    tcase_add_test(tests, conv2d_wrong_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
