// Augmentation: the draws, the affine map against hand-made cases, the colour table against the
// formula applied pixel by pixel.
#include "data/augment.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 21 };

static void pattern(uint8_t *out, int side) {
    for (int i = 0; i < side * side; i++) out[i] = (uint8_t)(1 + i * 37 % 255); // never 0
}

START_TEST(draws) {
    double low[4] = {1e9, 1e9, 1e9, 1e9}, high[4] = {-1e9, -1e9, -1e9, -1e9}, sum[4] = {0};
    int first = 0;
    enum { COUNT = 20000 };
    for (uint32_t i = 0; i < COUNT; i++) {
        augmentation a = augment_draw(42, 3, i);
        double v[4] = {a.angle, a.shear, a.brightness, a.contrast};
        for (int k = 0; k < 4; k++) {
            low[k] = fmin(low[k], v[k]), high[k] = fmax(high[k], v[k]);
            sum[k] += v[k] / COUNT;
        }
        first += a.contrast_first;
    }
    static const double from[4] = {-30, -15, 0.8, 0.8}, to[4] = {30, 15, 1.2, 1.2};
    for (int k = 0; k < 4; k++) {
        double width = to[k] - from[k];
        ck_assert(low[k] >= from[k] && low[k] < from[k] + 0.001 * width);
        ck_assert(high[k] < to[k] && high[k] > to[k] - 0.001 * width);
        ck_assert(fabs(sum[k] - (from[k] + to[k]) / 2) < 0.01 * width);
    }
    ck_assert(abs(first - COUNT / 2) < 300);
    augmentation a = augment_draw(42, 3, 7), same = augment_draw(42, 3, 7);
    ck_assert(a.angle == same.angle && a.shear == same.shear && a.contrast == same.contrast);
    ck_assert(a.angle != augment_draw(43, 3, 7).angle);
    ck_assert(a.angle != augment_draw(42, 4, 7).angle);
    ck_assert(a.angle != augment_draw(42, 3, 8).angle);
}
END_TEST

// Turns by multiples of 90 degrees move pixels exactly, for odd and even sides.
START_TEST(quarter_turns) {
    for (int side = SIDE - 1; side <= SIDE; side++) {
        uint8_t in[SIDE * SIDE], out[SIDE * SIDE];
        pattern(in, side);
        augment_affine(out, in, side, (augmentation){.angle = 0});
        ck_assert_mem_eq(out, in, (size_t)(side * side));
        augment_affine(out, in, side, (augmentation){.angle = 90});
        for (int y = 0; y < side; y++) // source = (y, -x): the top row comes from the left column
            for (int x = 0; x < side; x++)
                ck_assert_int_eq(out[y * side + x], in[(side - 1 - x) * side + y]);
        augment_affine(out, in, side, (augmentation){.angle = 180});
        for (int i = 0; i < side * side; i++) ck_assert_int_eq(out[i], in[side * side - 1 - i]);
    }
}
END_TEST

// A shear of 45 degrees with no turn: a = 1, b = -1, c = 0, d = 1, source = (x + y, y).
START_TEST(shear_moves_rows) {
    uint8_t in[SIDE * SIDE], out[SIDE * SIDE];
    pattern(in, SIDE);
    augment_affine(out, in, SIDE, (augmentation){.shear = 45});
    // tan(45 degrees) is not exactly 1, but no coordinate is near one half.
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int from = x + y - SIDE / 2;
            int want = from < 0 || from >= SIDE ? 0 : in[y * SIDE + from];
            ck_assert_int_eq(out[y * SIDE + x], want);
        }
}
END_TEST

// A half-pixel step by hand: shear with tan 0.5 puts odd rows on one half, which goes to the even
// side.
START_TEST(halves_go_to_even) {
    uint8_t in[5 * 5], out[5 * 5];
    pattern(in, 5);
    double degrees = atan(0.5) * 180 / M_PI;
    augment_affine(out, in, 5, (augmentation){.shear = degrees});
    // Source column = x + 0.5 * (y - 2): for y = 3 that is x + 0.5.
    static const int even[5] = {0, 2, 2, 4, 4};
    double exact = tan(degrees * M_PI / 180);
    if (exact == 0.5)
        for (int x = 0; x < 5; x++) ck_assert_int_eq(out[3 * 5 + x], in[3 * 5 + even[x]]);
    for (int x = 0; x < 4; x++) ck_assert_int_eq(out[4 * 5 + x], in[4 * 5 + x + 1]);
    ck_assert_int_eq(out[4 * 5 + 4], 0);
}
END_TEST

// Angle and shear together, in the words of the inverse map, away from halves.
START_TEST(both_together) {
    uint8_t in[SIDE * SIDE], out[SIDE * SIDE];
    pattern(in, SIDE);
    augmentation g = {.angle = 20, .shear = -12};
    double r = 20 * M_PI / 180, s = -12 * M_PI / 180;
    augment_affine(out, in, SIDE, g);
    int zeros = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            // Forward: turn by r of (u - tan(s) v, v) lands on (x, y); solve for (u, v).
            double px = x - SIDE / 2, py = y - SIDE / 2;
            double qx = cos(r) * px + sin(r) * py, v = -sin(r) * px + cos(r) * py;
            double u = qx + tan(s) * v;
            long column = lrint(u + SIDE / 2), row = lrint(v + SIDE / 2);
            bool inside = column >= 0 && column < SIDE && row >= 0 && row < SIDE;
            ck_assert_int_eq(out[y * SIDE + x], inside ? in[row * SIDE + column] : 0);
            zeros += !inside;
        }
    ck_assert_int_gt(zeros, 10);
    ck_assert_int_lt(zeros, SIDE * SIDE / 3);
}
END_TEST

static double limit(double x) {
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

// The same in double, pixel by pixel.
static void colour_slowly(double *v, int count, augmentation a) {
    for (int step = 0; step < 2; step++) {
        if (a.contrast_first == (step == 0)) {
            double mean = 0;
            for (int i = 0; i < count; i++) mean += (0.2989 + 0.587 + 0.114) * v[i] / count;
            for (int i = 0; i < count; i++)
                v[i] = limit(a.contrast * v[i] + (1 - a.contrast) * mean);
        } else {
            for (int i = 0; i < count; i++) v[i] = limit(a.brightness * v[i]);
        }
    }
}

START_TEST(colours) {
    static const double factors[][2] = {{1, 1}, {1.2, 0.8}, {0.8, 1.2}, {1.2, 1.2}, {0.93, 1.07}};
    uint8_t in[500];
    double slow[500];
    float lut[256];
    for (int i = 0; i < 500; i++) in[i] = (uint8_t)(i < 256 ? i : 120 + i % 130);
    for (size_t k = 0; k < 2 * sizeof factors / sizeof *factors; k++) {
        augmentation a = {.brightness = factors[k / 2][0],
                          .contrast = factors[k / 2][1],
                          .contrast_first = k % 2};
        for (int i = 0; i < 500; i++) slow[i] = in[i] / 255.0;
        colour_slowly(slow, 500, a);
        augment_lut(lut, in, 500, a);
        for (int i = 0; i < 500; i++) {
            double error = fabs((double)lut[in[i]] - slow[i]);
            ck_assert_msg(error <= 3e-7, "case %zu, byte %d: %g for %g", k, in[i],
                          (double)lut[in[i]], slow[i]);
        }
    }
    lut_plain(lut);
    for (int v = 0; v < 256; v++) ck_assert(lut[v] == (float)v / 255.0f);
    float same[256];
    augment_lut(same, in, 500, (augmentation){.brightness = 1, .contrast = 1});
    ck_assert_mem_eq(same, lut, sizeof lut);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("augment");
    tcase_add_test(cases, draws);
    tcase_add_test(cases, quarter_turns);
    tcase_add_test(cases, shear_moves_rows);
    tcase_add_test(cases, halves_go_to_even);
    tcase_add_test(cases, both_together);
    tcase_add_test(cases, colours);
    Suite *suite = suite_create("augment");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
