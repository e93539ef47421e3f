// core/tensor.h: the table of types, sizes, shape checks, and every bf16 and f16 value.
#include "core/tensor.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// A 16-bit format of EXPONENT and MANTISSA bits, decoded in double from its definition.
typedef struct format {
    const char *name;
    int exponent, mantissa;
    uint16_t (*from)(float);
    float (*to)(uint16_t);
} format;

static const format formats[] = {{"bf16", 8, 7, bf16_from_float, bf16_to_float},
                                 {"f16", 5, 10, f16_from_float, f16_to_float}};

static double decode(const format *f, unsigned bits) {
    int bias = (1 << (f->exponent - 1)) - 1, top = (1 << f->exponent) - 1;
    int exponent = (int)(bits >> f->mantissa) & top;
    unsigned mantissa = bits & ((1u << f->mantissa) - 1);
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == top) return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(mantissa, 1 - bias - f->mantissa);
    return sign * ldexp((double)(mantissa + (1u << f->mantissa)), exponent - bias - f->mantissa);
}

START_TEST(every_value_decodes_and_returns) {
    for (size_t k = 0; k < 2; k++)
        for (unsigned bits = 0; bits < 65536; bits++) {
            const format *f = &formats[k];
            double expected = decode(f, bits);
            float value = f->to((uint16_t)bits);
            unsigned back = f->from(value);
            if (isnan(expected)) {
                ck_assert_msg(isnan(value) && isnan(decode(f, back)), "%s %04x", f->name, bits);
                ck_assert_msg((back & 0x8000) == (bits & 0x8000), "%s %04x", f->name, bits);
                continue;
            }
            ck_assert_msg((double)value == expected, "%s %04x: %a, not %a", f->name, bits,
                          (double)value, expected);
            ck_assert_msg(back == bits, "%s %04x returns as %04x", f->name, bits, back);
        }
}
END_TEST

static void check_rounding(const format *f, float value, unsigned expected) {
    unsigned got = f->from(value), negative = f->from(-value);
    ck_assert_msg(got == expected && negative == (expected | 0x8000),
                  "%s of %a: %04x and %04x, not %04x", f->name, (double)value, got, negative,
                  expected);
}

// Between each value and the next: below the middle, the middle (to even), above the middle.
START_TEST(every_middle_rounds_to_even) {
    for (size_t k = 0; k < 2; k++) {
        const format *f = &formats[k];
        unsigned infinity = ((1u << f->exponent) - 1) << f->mantissa;
        for (unsigned bits = 0; bits < infinity; bits++) {
            double low = decode(f, bits);
            double step =
                bits + 1 < infinity ? decode(f, bits + 1) - low : low - decode(f, bits - 1);
            float middle = (float)(low + step / 2); // exact: one more bit than the format has
            ck_assert((double)middle == low + step / 2);
            check_rounding(f, middle, bits + (bits & 1));
            check_rounding(f, float_of(bits_of(middle) - 1), bits);
            check_rounding(f, float_of(bits_of(middle) + 1), bits + 1);
        }
    }
}
END_TEST

// Nearest value by a search over the decoded table, for random floats of all sizes.
START_TEST(random_floats_round_to_the_nearest) {
    uint64_t state = 4;
    for (size_t k = 0; k < 2; k++) {
        const format *f = &formats[k];
        unsigned infinity = ((1u << f->exponent) - 1) << f->mantissa;
        for (int i = 0; i < 60000; i++) {
            float value = float_of((uint32_t)fuzz_next(&state) & 0x7fffffff);
            if (i % 2 && k)
                value = ldexpf((float)(fuzz_next(&state) & 0xffffff), (int)(i % 40) - 48);
            unsigned got = f->from(value);
            if (isnan(value)) {
                ck_assert_msg(isnan(decode(f, got)), "%s of NaN: %04x", f->name, got);
                continue;
            }
            if (got == infinity) {
                double largest = decode(f, infinity - 1);
                double step = largest - decode(f, infinity - 2);
                ck_assert_msg((double)value >= largest + step / 2, "%s of %a", f->name,
                              (double)value);
                continue;
            }
            double error = fabs(decode(f, got) - (double)value);
            ck_assert_msg(got == 0 || error <= fabs(decode(f, got - 1) - (double)value), "%a",
                          (double)value);
            ck_assert_msg(error <= fabs(decode(f, got + 1) - (double)value), "%a", (double)value);
        }
        check_rounding(f, INFINITY, infinity);
        check_rounding(f, 0.0f, 0);
    }
}
END_TEST

START_TEST(types) {
    static const char *const names[] = {"F32", "F64", "BF16", "F16", "I64", "I32", "I8", "U8"};
    static const size_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
    ck_assert_int_eq(DTYPE_COUNT, 8);
    for (int i = 0; i < 8; i++) {
        ck_assert_str_eq(dtype_name((dtype)i), names[i]);
        ck_assert_uint_eq(dtype_size((dtype)i), sizes[i]);
        ck_assert_int_eq(dtype_wide((dtype)i), i == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32);
    }
}
END_TEST

START_TEST(sizes) {
    tensor x = {.type = DTYPE_BF16, .rank = 3, .dim = {70000, 70000, 3}};
    char text[SHAPE_TEXT_SIZE];
    ck_assert(tensor_count(&x) == 14700000000);
    ck_assert(tensor_bytes(&x) == 29400000000);
    ck_assert_str_eq(shape_text(text, x.rank, x.dim), "(70000, 70000, 3)");
    ck_assert_str_eq(shape_text(text, 1, x.dim), "(70000)");
    ck_assert_str_eq(shape_text(text, 0, x.dim), "()");
    static const int64_t widest[] = {INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN};
    ck_assert_uint_lt(strlen(shape_text(text, 5, widest)), SHAPE_TEXT_SIZE);
    x.rank = 0;
    ck_assert_int_eq(tensor_count(&x), 1);
    x = (tensor){.type = DTYPE_F32, .rank = 2, .dim = {0, 5}};
    ck_assert_int_eq(tensor_count(&x), 0);
    ck_assert_uint_eq(tensor_bytes(&x), 0);
}
END_TEST

static tensor sample = {.type = DTYPE_F32, .rank = 2, .dim = {4, 5}};

static void expect_other_rank(void) {
    tensor_expect(&sample, "op inp", 1, (int64_t[]){4});
}
static void expect_other_size(void) {
    tensor_expect(&sample, "op inp", 2, (int64_t[]){4, 6});
}
static void expect_of_nothing(void) {
    tensor_expect(NULL, "op inp", 1, (int64_t[]){4});
}

START_TEST(shape_checks) {
    tensor_expect(&sample, "op inp", 2, (int64_t[]){4, 5});
    tensor_expect(&sample, "op inp", 2, (int64_t[]){-1, 5});
    expect_death(expect_other_rank, "rank");
    expect_death(expect_other_size, "size");
    expect_death(expect_of_nothing, "NULL");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {every_value_decodes_and_returns,
                                  every_middle_rounds_to_even,
                                  random_floats_round_to_the_nearest,
                                  types,
                                  sizes,
                                  shape_checks,
                                  NULL};
    return run_suite(suite_of("tensor", tests));
}
