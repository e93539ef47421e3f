// The copy in bf16 that models compute with.
#include "core/rng.h"
#include "optim/kernels.h"

#include <check.h>
#include <math.h>

// Every element, the last part of a block included, to the nearest with ties to even; NaN stays NaN.
START_TEST(narrow_rounds_each_element) {
    enum { COUNT = 2 * OPTIM_SUM_BLOCK + 7 };
    static float wide[COUNT];
    static uint16_t narrow[COUNT + 1];
    device *d = NULL;
    ck_assert_int_eq(device_open_cpu(&d, 2), STATUS_OK);
    for (int i = 0; i < COUNT; i++)
        wide[i] = (float)rng_normal((rng_key){1, 2, 3}, 0, (uint64_t)i) * (i % 3 ? 1e-3f : 1e30f);
    wide[1] = NAN, wide[2] = -INFINITY, wide[3] = 0x1.010p0f, wide[4] = 0x1.030p0f, wide[5] = 3.4e38f;
    narrow[COUNT] = 0xabcd;
    optim_kernels_cpu.narrow(narrow, wide, COUNT, DTYPE_BF16, d->stream);
    for (int i = 0; i < COUNT; i++) ck_assert_int_eq(narrow[i], bf16_from_float(wide[i]));
    ck_assert(isnan(bf16_to_float(narrow[1])));
    ck_assert_int_eq(narrow[3], 0x3f80);
    ck_assert_int_eq(narrow[4], 0x3f82);
    ck_assert_int_eq(narrow[COUNT], 0xabcd);
    device_close(d);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("narrow");
    TCase *tests = tcase_create("narrow");
    tcase_add_test(tests, narrow_rounds_each_element);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
