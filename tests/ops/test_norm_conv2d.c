// Convolutions with the norms around them: on the CPU their parts, on CUDA cuDNN's fused calls in f16 (on the shim, a
// stand-in for them) and the parts elsewhere.
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_op_run.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum way { FUSED, APART } way;

typedef struct conv_case {
    int64_t B, H, W, C, O, K;
    int stride, pad;
    way way;
    bool normed; // a batch norm with the op's sums follows
    comm *comm;  // the tape's if NULL
    bool batch;  // conv2d_norm_relu's statistics
} conv_case;

// Channels in eights are those that cuDNN takes.
static const conv_case cases[] = {
    {1, 1, 5, 1, 1, 1, 1, 0, FUSED, false, NULL, false},   // a single channel
    {2, 4, 3, 8, 16, 1, 1, 0, FUSED, false, NULL, false},  // the block's last convolution
    {1, 4, 4, 8, 8, 3, 1, 1, FUSED, false, NULL, false},   // the one in the middle
    {2, 5, 4, 8, 8, 3, 2, 1, FUSED, false, NULL, false},   // where a stage begins
    {1, 5, 6, 7, 9, 3, 1, 1, FUSED, false, NULL, false},   // channels that it does not take
    {3, 8, 7, 16, 24, 1, 1, 0, FUSED, false, NULL, false}, //
};
enum { CASES = sizeof cases / sizeof *cases };

enum { X, WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR, CONV_WEIGHT, NORM_WEIGHT, NORM_BIAS, INPUTS };

static batch_norm_args first_norm(tensor *const *in) {
    return (batch_norm_args){.weight = in[WEIGHT],
                             .bias = in[BIAS],
                             .running_mean = in[RUNNING_MEAN],
                             .running_var = in[RUNNING_VAR],
                             .eps = 1e-5,
                             .momentum = 0.1,
                             .batch = true,
                             .relu = true};
}

// The norm behind, whose running statistics are of no interest.
static tensor *second_norm(tape *t, tensor *y, tensor *sums, tensor *const *in) {
    tensor *moved = tape_tensor_of(t, dtype_wide(y->type), 1, &y->dim[3]);
    t->device->zero(t->device, moved->data, tensor_bytes(moved));
    return batch_norm(t, y,
                      (batch_norm_args){.weight = in[NORM_WEIGHT],
                                        .bias = in[NORM_BIAS],
                                        .running_mean = moved,
                                        .running_var = moved,
                                        .eps = 1e-5,
                                        .momentum = 0.1,
                                        .batch = true,
                                        .sums = sums});
}

static tensor *run_norm_conv(tape *t, tensor **in, const void *context) {
    const conv_case *c = context;
    tensor *sums = NULL, *y;
    if (c->comm) t->comm = c->comm;
    if (c->way == FUSED)
        y = norm_conv2d(t, in[X], first_norm(in), in[CONV_WEIGHT], c->stride, c->pad, &sums);
    else
        y = conv2d(t, batch_norm(t, in[X], first_norm(in)), in[CONV_WEIGHT], NULL, c->stride, c->pad);
    return c->normed ? second_norm(t, y, sums, in) : y;
}

static tensor *run_conv_sums(tape *t, tensor **in, const void *context) {
    const conv_case *c = context;
    tensor *sums = NULL, *y;
    if (c->comm) t->comm = c->comm;
    if (c->way == FUSED)
        y = conv2d_sums(t, in[X], in[CONV_WEIGHT], c->stride, c->pad, &sums);
    else
        y = conv2d(t, in[X], in[CONV_WEIGHT], NULL, c->stride, c->pad);
    return c->normed ? second_norm(t, y, sums, in) : y;
}

static const op_case norm_conv = {.op = "norm_conv2d", .run = run_norm_conv},
                     conv_sums = {.op = "conv2d_sums", .run = run_conv_sums};

// GRADIENTS: one bit per input.
static op_case case_of(op_case k, const conv_case *c, unsigned gradients) {
    k.context = c;
    k.inputs = c->normed ? INPUTS : NORM_WEIGHT;
    k.input[X] = (op_input){.rank = 4, .dim = {c->B, c->H, c->W, c->C}};
    k.input[CONV_WEIGHT] = (op_input){.rank = 4, .dim = {c->O, c->K, c->K, c->C}, .weight = true};
    for (int i = WEIGHT; i <= RUNNING_VAR; i++) k.input[i] = (op_input){.rank = 1, .dim = {c->C}};
    for (int i = NORM_WEIGHT; i <= NORM_BIAS; i++) k.input[i] = (op_input){.rank = 1, .dim = {c->O}};
    const int positive[] = {WEIGHT, RUNNING_VAR, NORM_WEIGHT};
    for (int i = 0; i < 3; i++) k.input[positive[i]].low = 0.5, k.input[positive[i]].high = 2;
    for (int i = 0; i < k.inputs; i++) k.input[i].gradient = gradients >> i & 1;
    return k;
}

enum { OF_NORM = 1 << X | 1 << WEIGHT | 1 << BIAS, OF_CONV = 1 << CONV_WEIGHT };

START_TEST(norm_conv2d_shapes) {
    const op_case k = case_of(norm_conv, &cases[_i], OF_NORM | OF_CONV);
    op_check(&k);
}
END_TEST

// A rule leaves out what nobody asks for.
START_TEST(norm_conv2d_parts_of_the_gradient) {
    const unsigned parts[] = {1 << X, 1 << WEIGHT, 1 << BIAS, OF_CONV, OF_NORM};
    const op_case k = case_of(norm_conv, &cases[2 + _i / 5 * 2], parts[_i % 5]);
    op_check(&k);
}
END_TEST

START_TEST(conv2d_sums_shapes) {
    const op_case k = case_of(conv_sums, &cases[_i], 1 << X | OF_CONV);
    op_check(&k);
}
END_TEST

// A batch norm behind takes the sums for its own.
START_TEST(sums_are_of_the_output) {
    conv_case c = cases[_i];
    c.normed = true;
    const op_case behind = case_of(conv_sums, &c, 1 << X | OF_CONV);
    op_check(&behind);
    const op_case between = case_of(norm_conv, &c, OF_NORM | OF_CONV);
    op_check(&between);
}
END_TEST

// --- the same bits as the parts ----------------------------------------------------------------------
// Numbers for the inputs of any case.
enum { MOST = 4096 };
static double **draw(void) {
    double **values = calloc(INPUTS, sizeof *values);
    for (uint32_t i = 0; i < INPUTS; i++) {
        float *x = random_floats(MOST, i + 1, i == X || i == CONV_WEIGHT ? -1 : 0.5, 1.5);
        for (int64_t e = 0; e < MOST; e++) x[e] = f16_to_float(f16_from_float(x[e]));
        values[i] = to_doubles(x, MOST);
        free(x);
    }
    return values;
}

static void drawn_free(double **values) {
    for (int i = 0; i < INPUTS; i++) free(values[i]);
    free(values);
}

static void expect_same(const run_result *a, const run_result *b, const conv_case *c) {
    const int64_t counts[INPUTS] = {
        [X] = c->B * c->H * c->W * c->C, [WEIGHT] = c->C, [BIAS] = c->C, [CONV_WEIGHT] = c->O * c->K * c->K * c->C};
    ck_assert_int_eq(a->count, b->count);
    ck_assert_mem_eq(a->output, b->output, (size_t)a->count * sizeof *a->output);
    for (int i = 0; i < INPUTS; i++)
        if (a->gradient[i]) ck_assert_mem_eq(a->gradient[i], b->gradient[i], (size_t)counts[i] * sizeof(double));
}

// A second rank whose images are all 0, and their gradients too: it adds its rows to the count.
static void sum_with_zeros(comm *c, void *data, int64_t count, dtype type, device *d) {
    (void)c;
    ck_assert_int_eq(type, DTYPE_F64);
    if (!d->dry) ((double *)data)[count - 1] *= 2;
}

// A batch norm before, or not, and one behind, on one rank or on two.
START_TEST(fused_is_its_parts) {
    double **values = draw();
    comm *two;
    ck_assert_int_eq(comm_open_single(&two), 0);
    two->size = 2;
    two->all_reduce_sum = sum_with_zeros;
    run_result r[2][2];
    conv_case c = cases[_i / 2];
    c.normed = true;
    for (int ranks = 0; ranks < 2; ranks++)
        for (way w = FUSED; w <= APART; w++) {
            c.comm = ranks ? two : NULL;
            c.way = w;
            const op_case k = _i % 2 ? case_of(norm_conv, &c, OF_NORM | OF_CONV)
                                     : case_of(conv_sums, &c, 1 << X | OF_CONV);
            r[ranks][w] = run_case(&k, values, ON_CPU, 1, true, -1);
        }
    expect_same(&r[0][FUSED], &r[0][APART], &c);
    expect_same(&r[1][FUSED], &r[1][APART], &c);
    ck_assert_mem_ne(r[0][FUSED].output, r[1][FUSED].output, (size_t)r[0][FUSED].count * sizeof(double));
    for (int i = 0; i < 4; i++) result_free(&r[i / 2][i % 2]);
    drawn_free(values);
    comm_close(two);
}
END_TEST

static double off_by(const double *a, const double *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return sqrt(difference / size);
}

// What cuDNN does at once in f16, two ranks included, is near the oracle's parts; also where it lacks one of its calls.
START_TEST(fused_calls_are_near_the_parts) {
    double **values = draw();
    comm *two;
    ck_assert_int_eq(comm_open_single(&two), 0);
    two->size = 2;
    two->all_reduce_sum = sum_with_zeros;
    conv_case c = cases[1 + _i / FUSED_CONVS]; // a matrix product, and a window of nine
    char without[8];
    snprintf(without, sizeof without, "%d", _i % FUSED_CONVS);
    c.comm = two;
    c.way = APART;
    const op_case k = case_of(norm_conv, &c, OF_NORM | OF_CONV);
    run_result exact = run_case(&k, values, ON_ORACLE, 1, true, -1);
    c.way = FUSED;
    setenv("SHIM_WITHOUT_FUSED", without, 1);
    run_result r = run_case(&k, values, ON_SHIM_F16, 1, true, -1);
    unsetenv("SHIM_WITHOUT_FUSED");
    ck_assert_double_le(off_by(r.output, exact.output, exact.count), 1e-3);
    const int64_t counts[INPUTS] = {
        [X] = c.B * c.H * c.W * c.C, [WEIGHT] = c.C, [BIAS] = c.C, [CONV_WEIGHT] = c.O * c.K * c.K * c.C};
    for (int i = 0; i < INPUTS; i++)
        if (counts[i]) ck_assert_double_le(off_by(r.gradient[i], exact.gradient[i], counts[i]), 2e-3);
    result_free(&r);
    result_free(&exact);
    drawn_free(values);
    comm_close(two);
}
END_TEST

// --- without a backward pass -------------------------------------------------------------------------
static tensor *run_norm_relu(tape *t, tensor **in, const void *context) {
    const conv_case *c = context;
    batch_norm_args a = first_norm((tensor *[]){NULL, in[NORM_WEIGHT], in[NORM_BIAS], in[NORM_BIAS], in[NORM_WEIGHT]});
    a.batch = c->batch;
    if (c->way == FUSED) return conv2d_norm_relu(t, in[X], in[CONV_WEIGHT], a, c->stride, c->pad);
    return batch_norm(t, conv2d(t, in[X], in[CONV_WEIGHT], NULL, c->stride, c->pad), a);
}

static const op_case norm_after = {.op = "conv2d", .run = run_norm_relu}; // the rule's name, where there is one

START_TEST(conv2d_norm_relu_shapes) {
    static const double tolerance[TEST_DEVICES] = {0, 1e-15, 6e-3, 2e-6, 6e-3, 1e-3};
    conv_case c = cases[_i / 2], apart;
    c.batch = _i % 2; // which is taken apart
    c.normed = true;  // its inputs, that is
    apart = c;
    apart.way = APART;
    double **values = draw();
    const op_case k = case_of(norm_after, &c, 0), parts = case_of(norm_after, &apart, 0);
    run_result exact = run_case(&parts, values, ON_ORACLE, 1, false, -1);
    run_result same = run_case(&parts, values, ON_CPU, 1, false, -1);
    for (int which = 0; which < TEST_DEVICES; which++) {
        if (which == ON_CPU_BF16 || which == ON_SHIM_BF16) continue; // the numbers are f16's
        run_result r = run_case(&k, values, which, 1, false, -1);
        if (which == ON_CPU)
            ck_assert_mem_eq(r.output, same.output, (size_t)same.count * sizeof *same.output);
        else
            ck_assert_double_le(off_by(r.output, exact.output, exact.count), tolerance[which]);
        result_free(&r);
    }
    result_free(&exact);
    result_free(&same);
    drawn_free(values);
}
END_TEST

// While a model trains its parts run, so that a region's first run and the one that records round alike.
START_TEST(conv2d_norm_relu_in_training) {
    conv_case c = cases[5];
    c.normed = true;
    double **values = draw();
    run_result r[2];
    for (way w = FUSED; w <= APART; w++) {
        c.way = w;
        op_case k = case_of(norm_after, &c, 0);
        k.training = true;
        r[w] = run_case(&k, values, ON_SHIM_F16, 1, false, -1);
    }
    ck_assert_mem_eq(r[FUSED].output, r[APART].output, (size_t)r[FUSED].count * sizeof(double));
    result_free(&r[FUSED]);
    result_free(&r[APART]);
    drawn_free(values);
}
END_TEST

// Where a gradient is wanted it is batch_norm's and conv2d's.
START_TEST(conv2d_norm_relu_with_a_gradient) {
    conv_case c = cases[2];
    c.normed = true;
    const op_case k = case_of(norm_after, &c, 1 << X | OF_CONV);
    op_check(&k);
}
END_TEST

// --- wrong calls -------------------------------------------------------------------------------------
static const int64_t three = 3, four = 4, image_dim[4] = {1, 5, 5, 3}, weight_dim[4] = {2, 3, 3, 3};

static void call_norm_conv(tape *t, batch_norm_args a) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, image_dim), w = tensor_over(NULL, DTYPE_F32, 4, weight_dim);
    tensor *sums;
    norm_conv2d(t, &x, a, &w, 1, 1, &sums);
}

static void running_statistics(tape *t) {
    tensor c = tensor_over(NULL, DTYPE_F32, 1, &three);
    call_norm_conv(t, (batch_norm_args){&c, &c, &c, &c, NULL, 1e-5, 0.1, false, true, NULL});
}

static void no_relu(tape *t) {
    tensor c = tensor_over(NULL, DTYPE_F32, 1, &three);
    call_norm_conv(t, (batch_norm_args){&c, &c, &c, &c, NULL, 1e-5, 0.1, true, false, NULL});
}

static void a_residual(tape *t) {
    tensor c = tensor_over(NULL, DTYPE_F32, 1, &three), more = tensor_over(NULL, DTYPE_F32, 4, image_dim);
    call_norm_conv(t, (batch_norm_args){&c, &c, &c, &c, &more, 1e-5, 0.1, true, true, NULL});
}

static void other_channels(tape *t) {
    tensor c = tensor_over(NULL, DTYPE_F32, 1, &four);
    call_norm_conv(t, (batch_norm_args){&c, &c, &c, &c, NULL, 1e-5, 0.1, true, true, NULL});
}

static void other_sums(tape *t) {
    tensor c = tensor_over(NULL, DTYPE_F32, 1, &three);
    call_norm_conv(t, (batch_norm_args){&c, &c, &c, &c, NULL, 1e-5, 0.1, true, true, &c});
}

static void relu_left_out(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 4, image_dim), w = tensor_over(NULL, DTYPE_F32, 4, weight_dim);
    tensor c = tensor_over(NULL, DTYPE_F32, 1, &three);
    conv2d_norm_relu(t, &x, &w, (batch_norm_args){&c, &c, &c, &c, NULL, 1e-5, 0.1, false, false, NULL}, 1, 1);
}

START_TEST(norm_conv2d_wrong_calls) {
    expect_death(running_statistics, "norm_conv2d: takes a batch's statistics");
    expect_death(no_relu, "norm_conv2d: takes a batch's statistics and a ReLU");
    expect_death(a_residual, "no residual");
    expect_death(other_channels, "norm_conv2d weight");
    expect_death(other_sums, "norm_conv2d sums");
    expect_death(relu_left_out, "conv2d_norm_relu: takes a ReLU");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("norm_conv2d");
    TCase *tests = tcase_create("norm_conv2d");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, norm_conv2d_shapes, 0, CASES);
    tcase_add_loop_test(tests, norm_conv2d_parts_of_the_gradient, 0, 10);
    tcase_add_loop_test(tests, conv2d_sums_shapes, 0, CASES);
    tcase_add_loop_test(tests, sums_are_of_the_output, 1, CASES);
    tcase_add_loop_test(tests, fused_is_its_parts, 0, 2 * CASES);
    tcase_add_loop_test(tests, fused_calls_are_near_the_parts, 0, 2 * FUSED_CONVS);
    tcase_add_loop_test(tests, conv2d_norm_relu_shapes, 0, 2 * CASES);
    tcase_add_test(tests, conv2d_norm_relu_in_training);
    tcase_add_test(tests, conv2d_norm_relu_with_a_gradient);
    tcase_add_test(tests, norm_conv2d_wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
