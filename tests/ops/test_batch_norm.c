#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct norm_case {
    int rank;
    int64_t dim[4];
    bool batch, relu, residual;
} norm_case;

#define EIGHT_WAYS(...)                                                                            \
    {__VA_ARGS__, false, false, false}, {__VA_ARGS__, false, false, true},                         \
        {__VA_ARGS__, false, true, false}, {__VA_ARGS__, false, true, true},                       \
        {__VA_ARGS__, true, false, false}, {__VA_ARGS__, true, false, true},                       \
        {__VA_ARGS__, true, true, false}, {                                                        \
        __VA_ARGS__, true, true, true                                                              \
    }

static const norm_case cases[] = {
    EIGHT_WAYS(2, {3, 1}),        EIGHT_WAYS(4, {2, 3, 5, 7}), EIGHT_WAYS(2, {131, 17}),
    EIGHT_WAYS(4, {3, 8, 9, 33}), EIGHT_WAYS(2, {5, 515}), // more channels than are handled at once
};
enum { CASES = sizeof cases / sizeof *cases };

enum { X, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, RESIDUAL };

static tensor *run(tape *t, tensor **in, const void *context) {
    const norm_case *c = context;
    return batch_norm(t, in[X],
                      (batch_norm_args){.weight = in[WEIGHT],
                                        .bias = in[BIAS],
                                        .running_mean = in[RUNNING_MEAN],
                                        .running_var = in[RUNNING_VAR],
                                        .residual = c->residual ? in[RESIDUAL] : NULL,
                                        .eps = 1e-5,
                                        .momentum = 0.1,
                                        .batch = c->batch,
                                        .relu = c->relu});
}

// GRADIENTS: one bit per input.
static void check(const norm_case *c, unsigned gradients) {
    op_case k = {.op = "batch_norm", .run = run, .context = c, .inputs = c->residual ? 6 : 5};
    for (int i = 0; i < k.inputs; i++) {
        op_input *in = &k.input[i];
        bool image = i == X || i == RESIDUAL;
        in->rank = image ? c->rank : 1;
        memcpy(in->dim, image ? c->dim : c->dim + c->rank - 1, sizeof c->dim / (image ? 1 : 4));
        in->gradient = gradients >> i & 1;
    }
    k.input[WEIGHT].low = k.input[RUNNING_VAR].low = 0.5;
    k.input[WEIGHT].high = k.input[RUNNING_VAR].high = 2;
    op_check(&k);
}

START_TEST(batch_norm_shapes) {
    check(&cases[_i], 1u << X | 1u << WEIGHT | 1u << BIAS | 1u << RESIDUAL);
}
END_TEST

// Blocks of many rows: whole groups of narrow rows, a part of one behind them, more groups than are summed
// in single precision at a time. No ReLU: among so many numbers some sit on its kink, where central
// differences are no derivative.
START_TEST(batch_norm_many_rows) {
    static const norm_case many = {2, {64 * 28, 130}, true, false, true};
    check(&many, 1u << X | 1u << WEIGHT | 1u << BIAS | 1u << RESIDUAL);
}
END_TEST

START_TEST(batch_norm_parts_of_the_gradient) {
    for (unsigned only = 0; only < 4; only++)
        check(&cases[_i], (unsigned[]){1u << X, 1u << WEIGHT, 1u << BIAS, 1u << RESIDUAL}[only]);
}
END_TEST

// A tensor that is its own residual gets both gradients, in either kind of statistics.
static tensor *run_own_residual(tape *t, tensor **in, const void *context) {
    tensor *six[] = {in[X], in[WEIGHT], in[BIAS], in[RUNNING_MEAN], in[RUNNING_VAR], in[X]};
    return run(t, six, context);
}

START_TEST(batch_norm_own_residual) {
    norm_case c = {2, {7, 3}, _i, true, true};
    op_check(&(op_case){.op = "batch_norm",
                        .input = {{.rank = 2, .dim = {7, 3}, .gradient = true},
                                  {.rank = 1, .dim = {3}, .low = 0.5, .high = 2},
                                  {.rank = 1, .dim = {3}},
                                  {.rank = 1, .dim = {3}},
                                  {.rank = 1, .dim = {3}, .low = 0.5, .high = 2}},
                        .inputs = 5,
                        .run = run_own_residual,
                        .context = &c});
}
END_TEST

// --- statistics ----------------------------------------------------------------------------------
typedef struct statistics {
    float mean[3], rstd[3], running_mean[3], running_var[3];
} statistics;

static void statistics_of(statistics *r, const float *x, int64_t rows) {
    double sums[7];
    stream *s = test_device(false)->stream;
    for (int c = 0; c < 3; c++) {
        r->running_mean[c] = (float)c - 0.5f;
        r->running_var[c] = (float)c + 0.25f;
    }
    batch_norm_sums_cpu(sums, x, rows, 3, DTYPE_F32, s);
    batch_norm_statistics_cpu(r->mean, r->rstd, r->running_mean, r->running_var, sums, 1e-5, 0.1, 3,
                              DTYPE_F32, s);
}

// torch: running = 0.9 running + 0.1 batch, the variance with n - 1 in the denominator; rstd with
// n. Two sweeps here, so that nothing is shared with the way the kernels take.
START_TEST(batch_norm_running_statistics) {
    enum { ROWS = 11 };
    float *x = random_floats(3 * ROWS, 4, -1, 3);
    statistics r;
    statistics_of(&r, x, ROWS);
    for (int c = 0; c < 3; c++) {
        double mean = 0, square = 0;
        for (int i = 0; i < ROWS; i++) mean += (double)x[3 * i + c] / ROWS;
        for (int i = 0; i < ROWS; i++) square += pow((double)x[3 * i + c] - mean, 2);
        ck_assert_double_eq_tol((double)r.mean[c], mean, 1e-6);
        ck_assert_double_eq_tol((double)r.rstd[c], 1 / sqrt(square / ROWS + 1e-5), 1e-6);
        ck_assert_double_eq_tol((double)r.running_mean[c], 0.9 * (c - 0.5) + 0.1 * mean, 1e-6);
        ck_assert_double_eq_tol((double)r.running_var[c],
                                0.9 * (c + 0.25) + 0.1 * square / (ROWS - 1), 1e-6);
    }
    free(x);
}
END_TEST

// A mean a thousand times the deviation, a million rows: in single precision the sum of squares
// would leave nothing of the variance 1/12.
START_TEST(batch_norm_large_mean) {
    enum { ROWS = 1000000 };
    float *x = random_floats(3 * ROWS, 5, 999.5, 1000.5);
    double mean = 0, square = 0;
    statistics r;
    statistics_of(&r, x, ROWS);
    for (int64_t i = 0; i < ROWS; i++) mean += ((double)x[3 * i] - 1000) / ROWS;
    for (int64_t i = 0; i < ROWS; i++) square += pow((double)x[3 * i] - 1000 - mean, 2);
    double rstd = 1 / sqrt(square / ROWS + 1e-5);
    ck_assert_double_eq_tol((double)r.mean[0], 1000 + mean, 1e-4);
    ck_assert_double_eq_tol((double)r.rstd[0] / rstd, 1, 1e-6);

    // The output has mean 0 and deviation 1.
    const float one[3] = {1, 1, 1}, zero[3] = {0};
    batch_norm_apply_cpu(x, x, NULL, r.mean, r.rstd, one, zero, ROWS, 3, 0, DTYPE_F32,
                         test_device(false)->stream);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        sum += (double)x[3 * i] / ROWS;
        squares += (double)x[3 * i] * (double)x[3 * i] / ROWS;
    }
    ck_assert_double_eq_tol(sum, 0,
                            2e-4); // the mean itself is a float: half a unit of 6e-5, times rstd
    ck_assert_double_eq_tol(squares, 1, 2e-4);
    free(x);
}
END_TEST

// --- the same bits with any number of threads ----------------------------------------------------
enum { ROWS = 1013, CHANNELS = 37, COUNT = ROWS * CHANNELS };

typedef struct all_results {
    double forward[2 * CHANNELS + 1], backward[2 * CHANNELS + 1];
    float mean[CHANNELS], rstd[CHANNELS], out[COUNT], dinp[COUNT], dresidual[COUNT];
} all_results;

static void run_kernels(all_results *r, float *const *x, int threads) {
    stream *s = test_device(false)->stream;
    omp_set_num_threads(threads);
    batch_norm_sums_cpu(r->forward, x[0], ROWS, CHANNELS, DTYPE_F32, s);
    batch_norm_statistics_cpu(r->mean, r->rstd, NULL, NULL, r->forward, 1e-5, 0.1, CHANNELS, DTYPE_F32,
                              s);
    batch_norm_apply_cpu(r->out, x[0], x[1], r->mean, r->rstd, x[2], x[3], ROWS, CHANNELS, 1,
                         DTYPE_F32, s);
    batch_norm_backward_sums_cpu(r->backward, x[4], r->out, x[0], r->mean, r->rstd, ROWS, CHANNELS,
                                 1, DTYPE_F32, s);
    batch_norm_backward_apply_cpu(r->dinp, r->dresidual, x[4], r->out, x[0], r->mean, r->rstd, x[2],
                                  r->backward, ROWS, CHANNELS, 1, 0, 0, DTYPE_F32, s);
    omp_set_num_threads(2);
}

START_TEST(batch_norm_same_bits_with_any_threads) {
    all_results *r[3];
    float *x[5];
    for (uint32_t i = 0; i < 5; i++) x[i] = random_floats(COUNT, i + 1, -1, 2);
    for (int i = 0; i < 3; i++) {
        r[i] = calloc(1, sizeof **r);
        run_kernels(r[i], x, i + 1);
    }
    ck_assert_mem_eq(r[0], r[1], sizeof **r);
    ck_assert_mem_eq(r[0], r[2], sizeof **r);
    for (int i = 0; i < 5; i++) free(x[i]);
    for (int i = 0; i < 3; i++) free(r[i]);
}
END_TEST

// --- regions and ranks ---------------------------------------------------------------------------
typedef struct block_context {
    tensor *in[6];
} block_context;

static void block_body(tape *t, const void *context, tensor **out, tensor *const *in) {
    const block_context *c = context;
    tensor *six[6];
    memcpy(six, c->in, sizeof six);
    six[X] = in[0];
    out[0] = run(t, six, &(norm_case){.batch = true, .relu = true});
}

// A region that is run again moves the running statistics once.
START_TEST(batch_norm_region_moves_statistics_once) {
    float *x = random_floats(20 * 3, 1, -1, 2), moved[2][3], dx[60];
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        float weight[3] = {1, 2, 3}, bias[3] = {0, 1, 0}, mean[3] = {0}, var[3] = {1, 1, 1};
        const int64_t C = 3;
        tape t;
        gradient g;
        tape_open_large(&t, false);
        tape_checkpointing(&t, checkpointing);
        tensor in[5] = {tensor_over(x, DTYPE_F32, 2, (int64_t[]){20, 3}),
                        tensor_over(weight, DTYPE_F32, 1, &C), tensor_over(bias, DTYPE_F32, 1, &C),
                        tensor_over(mean, DTYPE_F32, 1, &C), tensor_over(var, DTYPE_F32, 1, &C)};
        tensor_want(&in[X], &g, dx);
        block_context c = {{&in[0], &in[1], &in[2], &in[3], &in[4], NULL}};
        tensor *y, *inp = &in[X];
        tape_region(&t, block_body, &c, &y, 1, &inp, 1);
        y = mean_tokens(&t, tape_view(&t, y, 3, (int64_t[]){1, 60, 1}));
        tape_backward(&t, y, 1);
        ck_assert_int_eq(tape_failed(&t), STATUS_OK);
        ck_assert(mean[0] != 0 && var[0] != 1);
        memcpy(moved[checkpointing], mean, sizeof mean);
        tape_free(&t);
    }
    ck_assert_mem_eq(moved[0], moved[1], sizeof moved[0]);
    free(x);
}
END_TEST

// Two ranks that have the same rows, played by one: sums double, and so does the count.
static void doubling_sum(comm *c, void *data, int64_t count, dtype type, device *d) {
    (void)c, (void)d;
    ck_assert_int_eq(type, DTYPE_F64);
    for (int64_t i = 0; i < count; i++) ((double *)data)[i] *= 2;
}

START_TEST(batch_norm_over_ranks) {
    float *x = random_floats(20 * 3, 1, -1, 2), dx[2][60], dw[2][3], var[2][3] = {0}, out[2][60];
    for (int ranks = 1; ranks <= 2; ranks++) {
        float weight[3] = {1, 2, 3}, bias[3] = {0, 1, 0}, mean[3] = {0};
        const int64_t C = 3;
        tape t;
        gradient g[2];
        tape_open_large(&t, false);
        comm two = *t.comm;
        two.size = 2;
        two.all_reduce_sum = doubling_sum;
        if (ranks == 2) t.comm = &two;
        tensor in[5] = {tensor_over(x, DTYPE_F32, 2, (int64_t[]){20, 3}),
                        tensor_over(weight, DTYPE_F32, 1, &C), tensor_over(bias, DTYPE_F32, 1, &C),
                        tensor_over(mean, DTYPE_F32, 1, &C),
                        tensor_over(var[ranks - 1], DTYPE_F32, 1, &C)};
        tensor_want(&in[X], &g[0], dx[ranks - 1]);
        tensor_want(&in[WEIGHT], &g[1], dw[ranks - 1]);
        tensor *list[] = {&in[0], &in[1], &in[2], &in[3], &in[4], NULL};
        tensor *y = run(&t, list, &(norm_case){.batch = true, .relu = true});
        memcpy(out[ranks - 1], y->data, sizeof out[0]);
        tape_backward(&t, mean_tokens(&t, tape_view(&t, y, 3, (int64_t[]){1, 60, 1})), 1);
        ck_assert_int_eq(tape_failed(&t), STATUS_OK);
        tape_free(&t);
    }
    ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
    ck_assert_mem_eq(dx[0], dx[1], sizeof dx[0]);
    ck_assert_mem_eq(dw[0], dw[1], sizeof dw[0]); // this rank's part alone
    for (int c = 0; c < 3; c++)                   // n / (n - 1) of 40 rows, not of 20
        ck_assert_double_eq_tol((double)var[0][c] * 19 / 20, (double)var[1][c] * 39 / 40, 1e-6);
    free(x);
}
END_TEST

// Sums that are given are taken as they are: here those of numbers with mean 0 and variance 1.
START_TEST(batch_norm_given_sums) {
    float x[6] = {1, 2, 3, 4, 5, 6}, weight[2] = {1, 1}, bias[2] = {0}, mean[2] = {3, 3}, var[2] = {3, 3};
    double rows[5] = {0, 0, 3, 3, 3};
    const int64_t C = 2, length = 5;
    tape t;
    tape_open_large(&t, false);
    tensor in[6] = {tensor_over(x, DTYPE_F32, 2, (int64_t[]){3, 2}), tensor_over(weight, DTYPE_F32, 1, &C),
                    tensor_over(bias, DTYPE_F32, 1, &C),             tensor_over(mean, DTYPE_F32, 1, &C),
                    tensor_over(var, DTYPE_F32, 1, &C),              tensor_over(rows, DTYPE_F64, 1, &length)};
    const tensor *y = batch_norm(
        &t, &in[X], (batch_norm_args){&in[1], &in[2], &in[3], &in[4], NULL, 0, 0.1, true, false, &in[5]});
    for (int i = 0; i < 6; i++) ck_assert_float_eq(((const float *)y->data)[i], x[i]);
    ck_assert_float_eq_tol(mean[0], 2.7f, 1e-6f);
    ck_assert_float_eq_tol(var[1], 2.85f, 1e-6f); // of 3 rows: 1 with n, 1.5 with n - 1
    tape_free(&t);
}
END_TEST

static void other_channels(tape *t) {
    const int64_t C = 4;
    tensor x = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){5, 3});
    tensor w = tensor_over(NULL, DTYPE_F32, 1, &C);
    batch_norm(t, &x, (batch_norm_args){&w, &w, &w, &w, NULL, 1e-5, 0.1, true, true, NULL});
}

START_TEST(batch_norm_wrong_shapes) {
    expect_death(other_channels, "batch_norm weight");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("batch_norm");
    TCase *tests = tcase_create("shapes");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, batch_norm_shapes, 0, CASES);
    tcase_add_test(tests, batch_norm_many_rows);
    tcase_add_loop_test(tests, batch_norm_parts_of_the_gradient, 15, 16);
    tcase_add_loop_test(tests, batch_norm_own_residual, 0, 2);
    tcase_add_test(tests, batch_norm_running_statistics);
    tcase_add_test(tests, batch_norm_large_mean);
    tcase_add_test(tests, batch_norm_same_bits_with_any_threads);
    tcase_add_test(tests, batch_norm_region_moves_statistics_once);
    tcase_add_test(tests, batch_norm_over_ranks);
    tcase_add_test(tests, batch_norm_given_sums);
    tcase_add_test(tests, batch_norm_wrong_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
