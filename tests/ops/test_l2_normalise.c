#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return l2_normalise(t, in[0]);
}

// Narrower and wider than a warp, a block's warps and the CPU's pieces; in packs and not; vectors
// too.
enum { CASES = 8 };
START_TEST(l2_normalise_shapes) {
    static const int64_t dims[CASES][3] = {{1, 2, 2},  {3, 5, 7},   {2, 4, 16},   {1, 1, 33},
                                           {9, 3, 24}, {2, 3, 256}, {1, 2, 1100}, {1, 1, 2048}};
    const int64_t *d = dims[_i];
    op_check(&(op_case){
        .op = "l2_normalise",
        .input = {{.rank = 3, .dim = {d[0], d[1], d[2]}, .gradient = true}},
        .inputs = 1,
        .run = run,
    });
}
END_TEST

enum { D = 3 };

// ROWS rows x with what the kernels make of them for the gradient dy, which DX has first.
static void normalise(float *y, float *dx, const float *x, int rows, device *d) {
    const size_t bytes = D * sizeof *x;
    void *in = device_hold(d, x, bytes), *out = device_hold(d, y, bytes);
    void *dout = device_hold(d, dx, bytes), *dinp = device_hold(d, dx, bytes);
    void *norm = device_hold(d, dx, sizeof *x);
    d->ops->l2_normalise_forward(out, norm, in, rows, D, DTYPE_F32, d->stream);
    d->ops->l2_normalise_backward(dinp, dout, in, norm, rows, D, 0, DTYPE_F32, d->stream);
    device_fetch(d, y, out, bytes);
    device_fetch(d, dx, dinp, bytes);
    device_fetch(d, NULL, in, 0);
    device_fetch(d, NULL, dout, 0);
    device_fetch(d, NULL, norm, 0);
}

// Lengths beyond a float's range when squared; rows that are too short for the division, which grow
// by 1e12 and no more; a row of zeros; NaN; no row.
START_TEST(l2_normalise_ends) {
    static const double far[] = {1e30, 1e-11, 1e-13, 1e-25}, unit[D] = {0.6, 0, -0.8};
    device *d = test_device(_i);
    float x[D] = {0}, y[D] = {0}, dx[D] = {1, 2, -1};
    for (int i = 0; i < 4; i++) {
        const float dy[D] = {1, 2, -1};
        const double n = 5 * far[i], by = n < 1e-12 ? 1e-12 : n,
                     dot = n < 1e-12 ? 0 : (3 + 4) / 5.0;
        for (int c = 0; c < D; c++) x[c] = (float)(n * unit[c]), dx[c] = dy[c];
        normalise(y, dx, x, 1, d);
        for (int c = 0; c < D; c++) {
            ck_assert(fabs((double)y[c] - unit[c] * n / by) <= 2e-7 * n / by);
            double slope = ((double)dy[c] - unit[c] * dot) / by;
            ck_assert(fabs((double)dx[c] - slope) <= 4e-7 / by);
        }
    }
    for (int c = 0; c < D; c++) x[c] = 0;
    normalise(y, dx, x, 1, d);
    for (int c = 0; c < D; c++) ck_assert(y[c] == 0);
    x[1] = NAN;
    normalise(y, dx, x, 1, d);
    for (int c = 0; c < D; c++) ck_assert(isnan(y[c]));
    y[0] = 7, dx[0] = 8;
    normalise(y, dx, x, 0, d);
    ck_assert(y[0] == 7 && dx[0] == 8);
}
END_TEST

static void no_width(tape *t) {
    l2_normalise(t, tape_tensor(t, 0, NULL));
}
static void other_type(tape *t) {
    l2_normalise(t, tape_tensor_of(t, DTYPE_F16, 1, (int64_t[]){4}));
}

START_TEST(l2_normalise_wrong) {
    expect_death(no_width, "l2_normalise inp: has shape (), expected 1 dimensions or more");
    expect_death(other_type, "l2_normalise inp: is F16, expected F32");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("l2_normalise");
    TCase *tests = tcase_create("l2_normalise");
    tcase_add_loop_test(tests, l2_normalise_shapes, 0, CASES);
    tcase_add_loop_test(tests, l2_normalise_ends, ON_CPU, ON_CPU + 1);
    tcase_add_loop_test(tests, l2_normalise_ends, ON_SHIM, ON_SHIM + 1);
    tcase_add_test(tests, l2_normalise_wrong);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
