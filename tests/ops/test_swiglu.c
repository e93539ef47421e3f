#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return swiglu(t, in[0]);
}

START_TEST(swiglu_shapes) {
    static const int64_t sizes[][2] = {{1, 2}, {1, 6}, {3, 34}, {5, 64}, {2, 2002}, {7, 1026}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        op_check(&(op_case){
            .op = "swiglu",
            .input = {{.rank = 2, .dim = {sizes[i][0], sizes[i][1]}, .gradient = true,
                       .low = -5, .high = 5.2}},
            .inputs = 1,
            .run = run,
        });
}
END_TEST

// Far from zero the gate is its input, or nothing; what is no number stays none.
START_TEST(swiglu_extremes) {
    float x[] = {200, -200, 0, NAN, 2, 3, 4, 5}, y[4];
    swiglu_forward_cpu(y, x, 1, 4, DTYPE_F32, test_device(false)->stream);
    ck_assert(y[0] == 400 && fabsf(y[1]) < 1e-30f && y[2] == 0 && isnan(y[3]));
}
END_TEST

// Without rows nothing is touched.
START_TEST(swiglu_no_rows) {
    device *d = test_device(_i);
    if (!d) return;
    double one = 7, back;
    void *block = device_hold(d, &one, sizeof one);
    d->ops->swiglu_forward(block, block, 0, 8, d->type, d->stream);
    d->ops->swiglu_backward(block, block, block, 0, 8, 0, d->type, d->stream);
    device_fetch(d, &back, block, sizeof back);
    ck_assert(!memcmp(&one, &back, sizeof one));
    ck_assert_int_eq(device_failed(d), STATUS_OK);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("swiglu");
    TCase *tests = tcase_create("swiglu");
    tcase_add_test(tests, swiglu_shapes);
    tcase_add_test(tests, swiglu_extremes);
    tcase_add_loop_test(tests, swiglu_no_rows, 0, TEST_DEVICES);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
