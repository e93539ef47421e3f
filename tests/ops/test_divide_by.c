#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return divide_by(t, in[0], in[1]);
}

// A scalar and a vector of one number; several blocks of the sum; either gradient alone.
enum { CASES = 6 };
START_TEST(divide_by_shapes) {
    static const int64_t dims[CASES][2] = {{2, 3}, {5, 7}, {32, 32}, {1, 37}, {70, 60}, {131, 129}};
    const bool which[] = {_i != 2, _i != 3};
    op_check(&(op_case){
        .op = "divide_by",
        .input =
            {{.rank = 2, .dim = {dims[_i][0], dims[_i][1]}, .gradient = which[0], .wide = true},
             {.rank = _i % 2, .dim = {1}, .gradient = which[1], .low = 0.3, .high = 0.9}},
        .inputs = 2,
        .run = run});
}
END_TEST

// The same bits with any number of threads; a million terms do not drift; without numbers the
// divisor's gradient is 0, or what it was.
START_TEST(divide_by_sums) {
    enum { N = 1000003 };
    float *x = random_floats(N, 1, 0, 1), *y = random_floats(N, 2, 0, 1), by = 0.07f, dt[6];
    double sum = 0;
    for (int i = 0; i < N; i++) sum -= (double)x[i] * (double)y[i] / (double)by;
    for (int threads = 1; threads < 6; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        dt[threads] = 5;
        divide_by_backward_cpu(NULL, &dt[threads], x, y, &by, N, 0, 1, DTYPE_F32, d->stream);
        ck_assert(dt[threads] == dt[1]);
        device_close(d);
    }
    ck_assert(fabs((double)dt[1] - sum - 5) <= 1e-7 * fabs(sum));
    for (int which = ON_CPU; which <= ON_SHIM; which += ON_SHIM - ON_CPU) {
        device *d = test_device(which);
        for (int acc = 0; acc < 2; acc++) {
            dt[0] = 5;
            void *there = device_hold(d, dt, sizeof *dt), *divisor = device_hold(d, &by, sizeof by);
            d->ops->divide_by_backward(there, there, there, there, divisor, 0, 0, acc, DTYPE_F32,
                                       d->stream);
            device_fetch(d, dt, there, sizeof *dt);
            device_fetch(d, NULL, divisor, 0);
            ck_assert(dt[0] == (acc ? 5.0f : 0.0f));
        }
    }
    free(x), free(y);
}
END_TEST

static void divide_of(tape *t, dtype type, dtype divisor, int rank, int64_t count) {
    divide_by(t, tape_tensor_of(t, type, 2, (int64_t[]){2, 3}),
              tape_tensor_of(t, divisor, rank, (int64_t[]){count, 1}));
}
static void narrow(tape *t) {
    divide_of(t, DTYPE_BF16, DTYPE_F32, 0, 1);
}
static void narrow_divisor(tape *t) {
    divide_of(t, DTYPE_F32, DTYPE_F64, 0, 1);
}
static void many(tape *t) {
    divide_of(t, DTYPE_F32, DTYPE_F32, 1, 3);
}
static void matrix(tape *t) {
    divide_of(t, DTYPE_F32, DTYPE_F32, 2, 1);
}

START_TEST(divide_by_wrong) {
    expect_death(narrow, "divide_by inp: is BF16, expected F32");
    expect_death(narrow_divisor, "divide_by divisor: is F64, expected F32");
    expect_death(many, "divide_by divisor: has shape (3), expected (1)");
    expect_death(matrix, "divide_by divisor: has shape (1, 1), expected (1)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("divide_by");
    TCase *tests = tcase_create("divide_by");
    tcase_add_loop_test(tests, divide_by_shapes, 0, CASES);
    tcase_add_test(tests, divide_by_sums);
    tcase_add_test(tests, divide_by_wrong);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
