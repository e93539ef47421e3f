#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 64, MAX_TARGETS = 4096 };

static tensor *run(tape *t, tensor **in, const void *context) {
    static uint8_t targets[MAX_TARGETS];
    static float weights[MAX_CLASSES], masks[MAX_CLASSES];
    int64_t C = in[0]->dim[1];
    (void)context;
    for (int64_t i = 0; i < tensor_count(in[0]); i++) targets[i] = i * i % 7 < 3;
    for (int64_t c = 0; c < C; c++) {
        weights[c] = 0.3f + 0.7f * (float)(c % 9);
        masks[c] = c % 4 == 2 ? 0 : c % 4 == 3 ? 0.5f : 1;
    }
    tensor target = constant_u8(targets, 2, in[0]->dim), weight = constant_f32(weights, 1, &C);
    tensor mask = constant_f32(masks, 1, &C);
    return sigmoid_cross_entropy(t, in[0], &target, &weight, &mask, 11);
}

START_TEST(sigmoid_cross_entropy_shapes) {
    static const int64_t dims[][2] = {{1, 1}, {3, 5}, {2, 14}, {32, 14}, {61, 53}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        op_check(&(op_case){
            .op = "sigmoid_cross_entropy",
            .input = {{.rank = 2,
                       .dim = {dims[i][0], dims[i][1]},
                       .gradient = true,
                       .low = -5,
                       .high = 6}},
            .inputs = 1,
            .run = run,
        });
}
END_TEST

typedef struct logit {
    float x;
    uint8_t y;
    float p, mask;
    double loss, slope; // of this term alone
} logit;

static void check_logit(const logit *l) {
    float loss = NAN, dx = NAN, dloss = 2;
    stream *s = test_device(false)->stream;
    sigmoid_cross_entropy_forward_cpu(&loss, &l->x, &l->y, &l->p, &l->mask, 1, 1, 4, DTYPE_F32, s);
    sigmoid_cross_entropy_backward_cpu(&dx, &dloss, &l->x, &l->y, &l->p, &l->mask, 1, 1, 4, 0,
                                       DTYPE_F32, s);
    ck_assert_msg(fabs((double)loss - l->loss / 4) <= 1e-7 * fabs(l->loss), "x %g y %d: loss %g",
                  (double)l->x, l->y, (double)loss);
    ck_assert_msg(fabs((double)dx - l->slope / 2) <= 1e-7 * fabs(l->slope), "x %g y %d: slope %g",
                  (double)l->x, l->y, (double)dx);
}

// Numbers from the definition; huge logits give large finite losses and slopes of 0 or the weight.
START_TEST(sigmoid_cross_entropy_points) {
    const double s2 = 1 / (1 + exp(-2.0)), e = exp(-30.0);
    const logit logits[] = {
        {0, 0, 3, 1, M_LN2, 0.5},
        {0, 1, 3, 1, 3 * M_LN2, -1.5},
        {2, 1, 3, 1, -3 * log(s2), 3 * (s2 - 1)},
        {2, 0, 3, 1, -log(1 - s2), s2},
        {2, 0, 3, 0.25f, -log(1 - s2) / 4, s2 / 4},
        {1e4f, 0, 5, 1, 1e4, 1},
        {-1e4f, 0, 5, 1, 0, 0},
        {1e4f, 1, 5, 1, 0, 0},
        {-1e4f, 1, 5, 1, 5e4, -5},
        {3e38f, 0, 1, 1, (double)3e38f, 1},
        {-30, 0, 2, 1, log1p(e), e / (1 + e)},
        {30, 1, 2, 1, 2 * log1p(e), -2 * e / (1 + e)},
    };
    for (size_t i = 0; i < sizeof logits / sizeof *logits; i++) check_logit(&logits[i]);
}
END_TEST

// A masked class adds exactly nothing, whatever stands in it, and its gradient is left as it was.
START_TEST(sigmoid_cross_entropy_masked) {
    enum { B = 3, C = 5 };
    static const float bad[] = {3e38f, -3e38f, INFINITY, NAN, 1};
    float x[B * C], p[C] = {1, 2, 3, 4, 5}, mask[C] = {1, 0, 1, 0, 1}, loss[2], dx[B * C],
                    dloss = 1;
    uint8_t y[B * C] = {0, 1, 1, 0, 0, 1};
    stream *s = test_device(false)->stream;
    for (int i = 0; i < B * C; i++) x[i] = (float)(i % 7 - 3);
    sigmoid_cross_entropy_forward_cpu(&loss[0], x, y, p, mask, B, C, 9, DTYPE_F32, s);
    for (int k = 0; k < 5; k++) {
        for (int i = 0; i < B * C; i++)
            if (mask[i % C] == 0) x[i] = bad[k], y[i] = (uint8_t)k;
        p[1] = 3e38f, p[3] = bad[k];
        sigmoid_cross_entropy_forward_cpu(&loss[1], x, y, p, mask, B, C, 9, DTYPE_F32, s);
        ck_assert(!memcmp(&loss[0], &loss[1], sizeof *loss));
        for (int acc = 0; acc < 2; acc++) {
            for (int i = 0; i < B * C; i++) dx[i] = 7;
            sigmoid_cross_entropy_backward_cpu(dx, &dloss, x, y, p, mask, B, C, 9, acc, DTYPE_F32,
                                               s);
            for (int i = 0; i < B * C; i++)
                ck_assert(mask[i % C] == 0 ? dx[i] == (acc ? 7.0f : 0.0f)
                                           : dx[i] != (acc ? 7.0f : 0.0f));
        }
    }
    ck_assert_int_eq(device_failed(test_device(false)), STATUS_OK);
}
END_TEST

// A label that is none is a failure of the step, not a loss.
START_TEST(sigmoid_cross_entropy_bad_label) {
    float x[4] = {0}, p[2] = {1, 1}, mask[2] = {1, 1}, loss;
    uint8_t y[4] = {0, 1, 1, 255};
    sigmoid_cross_entropy_forward_cpu(&loss, x, y, p, mask, 2, 2, 4, DTYPE_F32,
                                      test_device(false)->stream);
    ck_assert_int_eq(device_failed(test_device(false)), STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), "row 1, class 1 is 255"), "%s", status_text());
}
END_TEST

// The sum is made in double: a million equal terms do not drift.
START_TEST(sigmoid_cross_entropy_many) {
    enum { B = 100000, C = 10 };
    float *x = calloc(B * C, sizeof *x), p[C], mask[C], loss;
    uint8_t *y = calloc(B * C, 1);
    for (int c = 0; c < C; c++) p[c] = mask[c] = 1;
    sigmoid_cross_entropy_forward_cpu(&loss, x, y, p, mask, B, C, B * C, DTYPE_F32,
                                      test_device(false)->stream);
    ck_assert(loss == (float)M_LN2);
    free(x), free(y);
}
END_TEST

static void loss_of(tape *t, dtype target, int64_t classes, double count) {
    tensor *x = tape_tensor(t, 2, (int64_t[]){2, 3});
    tensor *y = tape_tensor_of(t, target, 2, (int64_t[]){2, 3});
    tensor *w = tape_tensor(t, 1, &classes);
    sigmoid_cross_entropy(t, x, y, w, w, count);
}
static void float_target(tape *t) {
    loss_of(t, DTYPE_F32, 3, 6);
}
static void few_weights(tape *t) {
    loss_of(t, DTYPE_U8, 2, 6);
}
static void no_count(tape *t) {
    loss_of(t, DTYPE_U8, 3, 0);
}

START_TEST(sigmoid_cross_entropy_wrong) {
    expect_death(float_target, "sigmoid_cross_entropy target: is F32, expected U8");
    expect_death(few_weights, "sigmoid_cross_entropy positive_weight: has shape (2), expected (3)");
    expect_death(no_count, "sigmoid_cross_entropy: the count is 0");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sigmoid_cross_entropy");
    TCase *tests = tcase_create("sigmoid_cross_entropy");
    tcase_add_test(tests, sigmoid_cross_entropy_shapes);
    tcase_add_test(tests, sigmoid_cross_entropy_points);
    tcase_add_test(tests, sigmoid_cross_entropy_masked);
    tcase_add_test(tests, sigmoid_cross_entropy_bad_label);
    tcase_add_test(tests, sigmoid_cross_entropy_many);
    tcase_add_test(tests, sigmoid_cross_entropy_wrong);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
