// The loss scale follows torch's GradScaler: 65536, x2 after 2000 good steps in a row, x0.5 after a
// bad.
#include "optim/scaler.h"

#include <check.h>
#include <float.h>

static void good(scaler *s, int steps) {
    for (int i = 0; i < steps; i++) scaler_update(s, true);
}

START_TEST(grows_after_an_interval) {
    scaler s = scaler_new();
    ck_assert(s.scale == 65536);
    good(&s, 1999);
    ck_assert(s.scale == 65536);
    good(&s, 1);
    ck_assert(s.scale == 131072);
    good(&s, 1999);
    ck_assert(s.scale == 131072);
    good(&s, 1);
    ck_assert(s.scale == 262144);
}
END_TEST

START_TEST(overflow_halves_and_starts_the_count_again) {
    scaler s = scaler_new();
    good(&s, 1999);
    scaler_update(&s, false);
    ck_assert(s.scale == 32768);
    good(&s, 1999);
    ck_assert(s.scale == 32768);
    scaler_update(&s, false);
    scaler_update(&s, false);
    ck_assert(s.scale == 8192);
    good(&s, 2000);
    ck_assert(s.scale == 16384);
}
END_TEST

START_TEST(stays_in_range) {
    scaler s = scaler_new();
    for (int i = 0; i < 1000; i++) scaler_update(&s, false);
    ck_assert(s.scale == (double)FLT_MIN);
    s.interval = 1;
    good(&s, 1000);
    ck_assert(s.scale == 0x1p127);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("scaler");
    TCase *tests = tcase_create("scaler");
    tcase_add_test(tests, grows_after_an_interval);
    tcase_add_test(tests, overflow_halves_and_starts_the_count_again);
    tcase_add_test(tests, stays_in_range);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
