#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 512 };

typedef struct loss_case {
    int64_t R, C;
    double smoothing;
    bool wide;        // logits
    double tolerance; // where few numbers are close to 0 and 1, whose differences are rounded
} loss_case;

// Every fifth row is left out, but not the first.
static int32_t target_of(const loss_case *c, int64_t r) {
    return r % 5 == 3 ? -1 : (int32_t)((r * r + 2 * r + 1) % c->C);
}

static tensor *run(tape *t, tensor **in, const void *context) {
    static int32_t targets[MAX_ROWS];
    const loss_case *c = context;
    for (int64_t r = 0; r < c->R; r++) targets[r] = target_of(c, r);
    tensor target = constant_i32(targets, 1, &c->R);
    return cross_entropy(t, in[0], &target, c->smoothing, 7);
}

// Shorter and longer than a vector, a block of threads, and a piece of the CPU's; whole packs and
// not.
enum { CASES = 12 };
START_TEST(cross_entropy_shapes) {
    static const loss_case cases[CASES] = {
        {1, 2, 0, false, 3e-5},   {2, 3, 0.1, false, 0},    {3, 17, 0.1, false, 0},
        {97, 5, 0, false, 0},     {300, 13, 1, false, 0},   {5, 1031, 0, false, 0},
        {4, 2056, 0.1, false, 0}, {2, 4099, 0.1, false, 0}, {1, 2, 0.1, true, 3e-5},
        {5, 32, 0.1, true, 0},    {4, 1111, 0, true, 0},    {37, 64, 0.1, true, 0},
    };
    const loss_case *c = &cases[_i];
    op_check(&(op_case){.op = "cross_entropy",
                        .input = {{.rank = 2,
                                   .dim = {c->R, c->C},
                                   .gradient = true,
                                   .wide = c->wide,
                                   .low = -5,
                                   .high = 6}},
                        .inputs = 1,
                        .run = run,
                        .context = c,
                        .tolerance = c->tolerance});
}
END_TEST

// Logits in f32 with what the kernels make of them on a device.
typedef struct loss_rows {
    int64_t R, C;
    float *x, *dx; // (R, C); dx may be x
    const int32_t *target;
    double smoothing, count;
    int acc;
    float loss;
} loss_rows;

static void rows_run(loss_rows *k, device *d) {
    const size_t bytes = (size_t)(k->R * k->C) * sizeof(float);
    float *peak = calloc((size_t)(2 * k->R + 1), sizeof *peak), one = 1;
    void *x = device_hold(d, k->x, bytes), *dx = k->dx == k->x ? x : device_hold(d, k->dx, bytes);
    void *target = device_hold(d, k->target, (size_t)k->R * sizeof(int32_t));
    void *on = device_hold(d, peak, (size_t)(2 * k->R) * sizeof *peak);
    void *loss = device_hold(d, &k->loss, sizeof k->loss),
         *dloss = device_hold(d, &one, sizeof one);
    d->ops->cross_entropy_forward(loss, on, x, target, NULL, k->R, k->C, k->smoothing, k->count,
                                  0, DTYPE_F32, d->stream);
    d->ops->cross_entropy_backward(dx, dloss, x, on, target, NULL, k->R, k->C, k->smoothing,
                                   k->count, k->acc, DTYPE_F32, d->stream);
    device_fetch(d, k->dx, dx, bytes);
    if (dx != x) device_fetch(d, NULL, x, bytes);
    device_fetch(d, NULL, target, 0);
    device_fetch(d, NULL, on, 0);
    device_fetch(d, &k->loss, loss, sizeof k->loss);
    device_fetch(d, NULL, dloss, 0);
    free(peak);
}

// A row from the definition.
typedef struct point {
    int C;
    float x[4];
    int32_t target;
    double smoothing, loss, slope[4];
} point;

static void check_point(const point *p, int which) {
    enum { ROWS = 3 };
    float x[ROWS * 4], dx[ROWS * 4];
    int32_t target[ROWS];
    for (int r = 0; r < ROWS; r++) {
        target[r] = p->target;
        memcpy(x + r * p->C, p->x, (size_t)p->C * sizeof *x);
    }
    loss_rows k = {.R = ROWS,
                   .C = p->C,
                   .x = x,
                   .dx = dx,
                   .target = target,
                   .smoothing = p->smoothing,
                   .count = 2,
                   .loss = NAN};
    rows_run(&k, test_device(which));
    ck_assert_msg(fabs((double)k.loss - 1.5 * p->loss) <= 4e-7 * fabs(p->loss) + 1e-30,
                  "logits %g, %g: loss %.9g, expected %.9g", (double)p->x[0], (double)p->x[1],
                  (double)k.loss, 1.5 * p->loss);
    for (int i = 0; i < ROWS * p->C; i++)
        ck_assert_msg(fabs((double)dx[i] - p->slope[i % p->C] / 2) <= 2e-7, "logit %g: slope %.9g",
                      (double)x[i], (double)dx[i]);
}

// Numbers from the definition: one class, huge logits, classes that are out of the question.
START_TEST(cross_entropy_points) {
    const double ln4 = 2 * M_LN2, big = (double)1e38f;
    const point points[] = {
        {1, {5}, 0, 0.1, 0, {0}},
        {4, {1, 1, 1, 1}, 2, 0, ln4, {0.25, 0.25, -0.75, 0.25}},
        {4, {1, 1, 1, 1}, 0, 0.4, ln4, {-0.45, 0.15, 0.15, 0.15}},
        {2, {1e4f, 0}, 0, 0, 0, {0, 0}},
        {2, {1e4f, 0}, 1, 0, 1e4, {1, -1}},
        {2, {-1e4f, -1e4f}, 1, 0.5, M_LN2, {0.25, -0.25}},
        {2, {1e4f, 0}, 0, 0.2, 0.1 * 1e4, {0.1, -0.1}},
        {2, {1e38f, 0}, 1, 0, big, {1, -1}},
        {3, {-INFINITY, 0, 0}, 1, 0, M_LN2, {0, -0.5, 0.5}},
        {3, {0, -INFINITY, -INFINITY}, 0, 0, 0, {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) check_point(&points[i], _i);
}
END_TEST

// A row that is left out adds exactly nothing, whatever stands in it; its gradient is left as it
// was. The gradient may take the place of the logits.
START_TEST(cross_entropy_left_out) {
    enum { R = 5, C = 1029 };
    static const float bad[] = {1, 3e38f, -3e38f, INFINITY, NAN};
    static const int32_t target[R] = {4, -1, C - 1, -1, 0};
    float *x = random_floats(R * C, 1, -4, 4), *dx = random_floats(R * C, 2, 1, 2), loss = 0;
    loss_rows k = {
        .R = R, .C = C, .x = x, .dx = dx, .target = target, .smoothing = 0.1, .count = 3};
    for (int b = 0; b < 5; b++) {
        for (int i = 0; i < R * C; i++)
            if (target[i / C] < 0) x[i] = bad[b];
        for (k.acc = 0; k.acc < 2; k.acc++) {
            for (int i = 0; i < R * C; i++) dx[i] = 7;
            rows_run(&k, test_device(_i));
            if (!b) loss = k.loss;
            ck_assert(k.loss > 1 && !memcmp(&loss, &k.loss, sizeof loss));
            for (int i = 0; i < R * C; i++) {
                if (target[i / C] < 0) ck_assert(dx[i] == (k.acc ? 7.0f : 0.0f));
                if (target[i / C] == i % C) ck_assert(dx[i] < (k.acc ? 6.9f : -0.1f));
                ck_assert(fabsf(dx[i]) < 8);
            }
        }
    }
    k.acc = 0;
    rows_run(&k, test_device(_i));
    k.dx = k.x;
    rows_run(&k, test_device(_i));
    ck_assert(!memcmp(x, dx, R * C * sizeof *x));
    ck_assert_int_eq(device_failed(test_device(_i)), STATUS_OK);
    free(x), free(dx);
}
END_TEST

// A target that is none is a failure of the step on the CPU and a loss of NaN on CUDA, never a read
// beside the row.
START_TEST(cross_entropy_bad_target) {
    static const int32_t bad[] = {3, -2, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++)
        for (int which = 0; which < 2; which++) {
            device *d = test_device(which ? ON_SHIM : ON_CPU);
            float x[6] = {1, 2, 3, 4, 5, 6}, dx[6] = {0};
            const int32_t target[2] = {1, bad[i]};
            loss_rows k = {.R = 2, .C = 3, .x = x, .dx = dx, .target = target, .count = 2};
            rows_run(&k, d);
            if (which) ck_assert(isnan(k.loss));
            ck_assert_int_eq(device_failed(d), which ? STATUS_OK : STATUS_FORMAT);
            if (!which)
                ck_assert_msg(strstr(status_text(), "the target of row 1 is") != NULL, "%s",
                              status_text());
            for (int c = 3; c < 6; c++) ck_assert(dx[c] == 0);
        }
}
END_TEST

// Without rows the loss is 0. NaN among the logits is NaN in the loss, and so is infinity.
START_TEST(cross_entropy_ends) {
    static const float bad[] = {1, NAN, INFINITY};
    static const int32_t target[1] = {2};
    for (int i = 0; i < 3; i++) {
        float x[3] = {1, bad[i], 2}, dx[3] = {5, 5, 5};
        loss_rows k = {
            .R = i > 0, .C = 3, .x = x, .dx = dx, .target = target, .count = 2, .loss = 5};
        rows_run(&k, test_device(_i));
        ck_assert(i ? isnan(k.loss) : k.loss == 0);
    }
}
END_TEST

// The same bits with any number of threads, and no drift over many equal terms.
START_TEST(cross_entropy_threads) {
    enum { R = 3001, C = 37 };
    float *x = random_floats(R * C, 1, -3, 3), peak[2 * R], loss[5];
    int32_t target[R];
    for (int r = 0; r < R; r++) target[r] = r % C;
    for (int threads = 1; threads < 6; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        cross_entropy_forward_cpu(&loss[threads - 1], peak, x, target, NULL, R, C, 0.1, R, 0, DTYPE_F32,
                                  d->stream);
        ck_assert(!memcmp(&loss[threads - 1], &loss[0], sizeof *loss));
        device_close(d);
    }
    for (int i = 0; i < R * C; i++) x[i] = 3;
    cross_entropy_forward_cpu(&loss[0], peak, x, target, NULL, R, C, 0.1, R, 0, DTYPE_F32,
                              test_device(ON_CPU)->stream);
    ck_assert(fabsf(loss[0] - logf(C)) <= 2e-7f * loss[0]);
    free(x);
}
END_TEST

static void loss_of(tape *t, dtype type, dtype targets, int64_t rows, double smoothing,
                    double count) {
    tensor *x = tape_tensor_of(t, type, 2, (int64_t[]){2, 3}),
           *y = tape_tensor_of(t, targets, 1, &rows);
    cross_entropy(t, x, y, smoothing, count);
}
static void float_target(tape *t) {
    loss_of(t, DTYPE_F32, DTYPE_F32, 2, 0, 1);
}
static void other_logits(tape *t) {
    loss_of(t, DTYPE_F16, DTYPE_I32, 2, 0, 1);
}
static void many_targets(tape *t) {
    loss_of(t, DTYPE_F32, DTYPE_I32, 3, 0, 1);
}
static void rough_smoothing(tape *t) {
    loss_of(t, DTYPE_F32, DTYPE_I32, 2, -0.1, 1);
}
static void no_count(tape *t) {
    loss_of(t, DTYPE_F32, DTYPE_I32, 2, 0.1, 0);
}

START_TEST(cross_entropy_wrong) {
    expect_death(float_target, "cross_entropy target: is F32, expected I32");
    expect_death(other_logits, "cross_entropy logits: is F16, expected F32");
    expect_death(many_targets, "cross_entropy target: has shape (3), expected (2)");
    expect_death(rough_smoothing, "cross_entropy: the smoothing is -0.1, expected 0 to 1");
    expect_death(no_count, "cross_entropy: the count is 0");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cross_entropy");
    TCase *tests = tcase_create("cross_entropy");
    tcase_add_loop_test(tests, cross_entropy_shapes, 0, CASES);
    tcase_add_test(tests, cross_entropy_bad_target);
    tcase_add_test(tests, cross_entropy_threads);
    tcase_add_test(tests, cross_entropy_wrong);
    for (int which = ON_CPU; which <= ON_SHIM; which += ON_SHIM - ON_CPU) {
        tcase_add_loop_test(tests, cross_entropy_points, which, which + 1);
        tcase_add_loop_test(tests, cross_entropy_left_out, which, which + 1);
        tcase_add_loop_test(tests, cross_entropy_ends, which, which + 1);
    }
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
