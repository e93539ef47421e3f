// core/e4m3.h against the format's definition: every byte, what lies between them, and scales.
#include "core/e4m3.h"

#include <check.h>
#include <math.h>

enum { LAST = 0x7E };

// What the specification says of a byte without its sign.
static double meaning(int code) {
    return code >> 3 ? ldexp(8 + (code & 7), (code >> 3) - 10) : ldexp(code, -9);
}

static void expect(double x, int code) {
    for (int sign = 0; sign < 2; sign++) {
        const float near = e4m3_round((float)(sign ? -x : x));
        ck_assert_msg((double)near == (sign ? -1 : 1) * meaning(code), "%.9g became %.9g", x, (double)near);
        ck_assert_int_eq(e4m3_code(near), code | sign << 7);
    }
}

START_TEST(every_byte) {
    ck_assert(meaning(LAST) == 448);
    for (int code = 0; code <= LAST; code++) {
        ck_assert((double)e4m3_value((uint8_t)code) == meaning(code));
        ck_assert((double)e4m3_value((uint8_t)(code | 128)) == -meaning(code));
        expect(meaning(code), code);
    }
}
END_TEST

START_TEST(between_two) {
    for (int code = 0; code < LAST; code++) {
        const double middle = (meaning(code) + meaning(code + 1)) / 2;
        expect(middle, code + code % 2); // the even one
        expect(middle * (1 - 0x1p-20), code);
        expect(middle * (1 + 0x1p-20), code + 1);
    }
    expect(480, LAST);
    expect(1e38, LAST);
    expect(1e-38, 0);
    expect(1e-45, 0);
}
END_TEST

START_TEST(what_is_not_finite) {
    const float wrong[] = {INFINITY, -INFINITY, NAN};
    for (int i = 0; i < 3; i++) {
        ck_assert(isnan(e4m3_round(wrong[i])));
        ck_assert_int_eq(e4m3_code(e4m3_round(wrong[i])), 0x7F);
    }
}
END_TEST

START_TEST(scales) {
    for (int e = -110; e < 120; e++) {
        const float power = ldexpf(1, e);
        ck_assert(e4m3_scale(448 * power) == power);
        ck_assert(e4m3_scale(nextafterf(448 * power, INFINITY)) == 2 * power);
        ck_assert(e4m3_scale(225 * power) == power);
        ck_assert(e4m3_reciprocal(power) == 1 / power);
    }
    ck_assert(e4m3_scale(0) > 0 && e4m3_scale(1e-40f) > 0);
    ck_assert(isfinite(e4m3_reciprocal(e4m3_scale(0))));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("e4m3");
    TCase *tests = tcase_create("e4m3");
    tcase_add_test(tests, every_byte);
    tcase_add_test(tests, between_two);
    tcase_add_test(tests, what_is_not_finite);
    tcase_add_test(tests, scales);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
