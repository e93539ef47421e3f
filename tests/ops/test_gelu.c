#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return gelu(t, in[0]);
}

START_TEST(gelu_shapes) {
    static const int64_t counts[] = {1, 3, 17, 64, 1000, 4099};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        op_check(&(op_case){
            .op = "gelu",
            .input = {{.rank = 2, .dim = {1, counts[i]}, .gradient = true, .low = -4, .high = 4.1}},
            .inputs = 1,
            .run = run,
        });
}
END_TEST

// Value and slope at every size of input, one by one: a norm over many would hide the small ones.
START_TEST(gelu_points) {
    enum { COUNT = 4001 };
    static float x[COUNT], y[COUNT], dy[COUNT], dx[COUNT];
    stream *s = test_device(false)->stream;
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)(i - COUNT / 2) / 100;
        dy[i] = 1;
    }
    gelu_forward_cpu(y, x, COUNT, DTYPE_F32, s);
    gelu_backward_cpu(dx, dy, x, COUNT, 0, DTYPE_F32, s);
    for (int i = 0; i < COUNT; i++) {
        double v = (double)x[i], below = 0.5 * (1 + erf(v * M_SQRT1_2));
        double slope = below + v * exp(-v * v / 2) / sqrt(2 * M_PI);
        ck_assert_double_le(fabs((double)y[i] - v * below), 1.5e-7 * fmax(1, fabs(v)));
        ck_assert_double_le(fabs((double)dx[i] - slope), 4e-7);
    }
    ck_assert(y[COUNT / 2] == 0 && y[COUNT - 1] == x[COUNT - 1] && y[0] == 0 &&
              dx[COUNT / 2] == 0.5f);
}
END_TEST

START_TEST(gelu_not_finite) {
    float x[] = {NAN, INFINITY, 1e30f, -1e30f}, y[4];
    gelu_forward_cpu(y, x, 4, DTYPE_F32, test_device(false)->stream);
    ck_assert(isnan(y[0]));
    ck_assert(y[1] == INFINITY && y[2] == 1e30f && y[3] == 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gelu");
    TCase *tests = tcase_create("gelu");
    tcase_add_test(tests, gelu_shapes);
    tcase_add_test(tests, gelu_points);
    tcase_add_test(tests, gelu_not_finite);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
