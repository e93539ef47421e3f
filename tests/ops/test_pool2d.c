#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct pool_case {
    int64_t B, H, W, C;
    int k, stride, pad;
} pool_case;

static const pool_case cases[] = {
    {1, 1, 1, 1, 1, 1, 0},                              // a single number
    {1, 2, 2, 3, 2, 2, 0},                              // a single window
    {2, 7, 5, 3, 3, 2, 1},                              // the stem's, odd sizes
    {1, 8, 6, 17, 3, 2, 1},                             // even sizes: the last window sticks out
    {2, 9, 9, 5, 2, 3, 0},                              // pixels between windows
    {1, 6, 7, 4, 3, 1, 0},                              // much overlap
    {1, 5, 5, 2, 5, 1, 2},    {2, 14, 13, 33, 7, 7, 3}, //
    {1, 31, 29, 19, 3, 2, 1}, {1, 3, 4, 521, 3, 2, 1}, // the last: more channels than at once
};
enum { CASES = sizeof cases / sizeof *cases };

static tensor *run_max(tape *t, tensor **in, const void *context) {
    const pool_case *c = context;
    return max_pool2d(t, in[0], c->k, c->stride, c->pad);
}

static tensor *run_avg(tape *t, tensor **in, const void *context) {
    const pool_case *c = context;
    return avg_pool2d(t, in[0], c->k, c->stride);
}

static op_input images(const pool_case *c) {
    return (op_input){.rank = 4, .dim = {c->B, c->H, c->W, c->C}, .gradient = true};
}

START_TEST(max_pool2d_shapes) {
    op_check(&(op_case){.op = "max_pool2d",
                        .input = {images(&cases[_i])},
                        .inputs = 1,
                        .run = run_max,
                        .context = &cases[_i]});
}
END_TEST

START_TEST(avg_pool2d_shapes) {
    op_check(&(op_case){.op = "avg_pool2d",
                        .input = {images(&cases[_i])},
                        .inputs = 1,
                        .run = run_avg,
                        .context = &cases[_i]});
}
END_TEST

// --- what torch does with equal values, padding and NaN ------------------------------------------
static void sum_rule(tape *t, const tape_node *node) {
    int acc;
    float *d = tape_gradient(t, node->in[0], &acc);
    for (int64_t i = 0; i < tensor_count(node->in[0]); i++) d[i] = (float)(i + 1);
}

// Pools x (1, H, W, 1); its gradient dx where output i has the gradient i + 1.
static void pool_and_back(float *y, float *dx, float *x, int64_t H, int64_t W, int k, int stride,
                          int pad) {
    tape t;
    gradient g;
    tape_open_large(&t, false);
    tensor in = tensor_over(x, DTYPE_F32, 4, (int64_t[]){1, H, W, 1});
    tensor_want(&in, &g, dx);
    tensor *out = max_pool2d(&t, &in, k, stride, pad), *loss = tape_tensor(&t, 0, NULL);
    tape_record(&t, "sum", sum_rule, NULL, &loss, 1, &out, 1);
    memcpy(y, out->data, tensor_bytes(out));
    tape_backward(&t, loss, 1);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    tape_free(&t);
}

START_TEST(max_pool2d_first_of_equal) {
    float x[16] = {0}, y[4], dx[16];
    pool_and_back(y, dx, x, 4, 4, 2, 2, 0);
    const float expected[16] = {1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4};
    ck_assert_mem_eq(dx, expected, sizeof expected);
    // Overlapping windows 3 / 2 / 1: first in reading order inside the image.
    pool_and_back(y, dx, x, 4, 4, 3, 2, 1);
    const float overlapping[16] = {1, 2, 0, 0, 3, 4};
    ck_assert_mem_eq(dx, overlapping, sizeof overlapping);
}
END_TEST

START_TEST(max_pool2d_padding_never_wins) {
    float x[4] = {-3, -2, -INFINITY, -5}, y[1], dx[4];
    pool_and_back(y, dx, x, 2, 2, 3, 3, 1);
    ck_assert_float_eq(y[0], -2);
    float lowest[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    pool_and_back(y, dx, lowest, 2, 2, 3, 3, 1);
    ck_assert(isinf(y[0]) && y[0] < 0);
    ck_assert_float_eq(dx[0], 1);
}
END_TEST

START_TEST(max_pool2d_nan_is_seen) {
    float x[4] = {1, NAN, 3, 2}, y[1], dx[4];
    pool_and_back(y, dx, x, 2, 2, 2, 2, 0);
    ck_assert(isnan(y[0]));
    ck_assert_float_eq(dx[1], 1);
}
END_TEST

static void too_much_padding(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){1, 8, 8, 3});
    max_pool2d(t, &x, 3, 2, 2);
}

static void window_too_large(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, (int64_t[]){1, 8, 3, 3});
    avg_pool2d(t, &x, 4, 1);
}

START_TEST(pool2d_wrong_shapes) {
    expect_death(too_much_padding, "padding 2");
    expect_death(window_too_large, "window 4");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("pool2d");
    TCase *tests = tcase_create("shapes");
    tcase_add_loop_test(tests, max_pool2d_shapes, 0, CASES);
    tcase_add_loop_test(tests, avg_pool2d_shapes, 0, CASES);
    tcase_add_test(tests, max_pool2d_first_of_equal);
    tcase_add_test(tests, max_pool2d_padding_never_wins);
    tcase_add_test(tests, max_pool2d_nan_is_seen);
    tcase_add_test(tests, pool2d_wrong_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
