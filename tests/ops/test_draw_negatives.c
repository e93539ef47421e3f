#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/shim/shim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 512 };

// out (R) of scores (R, C) and GROUP (C) or NULL, as device WHICH draws it.
static void draw(int32_t *out, const float *scores, const int32_t *group, const negatives_shape *z,
                 device *d) {
    const int64_t count = z->R * z->C;
    double *wide = to_doubles(scores, count);
    const bool exact = d->type == DTYPE_F64;
    void *x = exact ? device_hold(d, wide, (size_t)count * sizeof *wide)
                    : device_hold(d, scores, (size_t)count * sizeof *scores);
    void *g = group ? device_hold(d, group, (size_t)z->C * sizeof *group) : NULL;
    void *y = device_hold(d, out, (size_t)z->R * sizeof *out);
    d->ops->draw_negatives(y, x, g, z, d->type, d->stream);
    device_fetch(d, out, y, (size_t)z->R * sizeof *out);
    device_fetch(d, NULL, x, 0);
    if (g) device_fetch(d, NULL, g, 0);
    free(wide);
}

typedef struct draw_case {
    int64_t R, C, first;
    double range;   // of the scores
    int32_t groups; // how many there are; 0: none are given
} draw_case;

static void check_case(const draw_case *c, uint32_t step) {
    static int32_t out[TEST_DEVICES][MOST], group[MOST];
    static const int which[] = {ON_CPU, ON_ORACLE, ON_SHIM, ON_SHIM_BF16};
    negatives_shape z = {c->R, c->C, c->first, {7, 8, step}, 100};
    float *scores = random_floats(c->R * c->C, step, -c->range, c->range);
    for (int64_t i = 0; i < c->C && c->groups; i++) group[i] = (int32_t)(i * i % c->groups) - 1;
    for (int i = 0; i < 4; i++) {
        const int32_t *y = out[which[i]];
        memset(out[which[i]], 0xab, sizeof out[0]);
        draw(out[which[i]], scores, c->groups ? group : NULL, &z, test_device(which[i]));
        ck_assert(!memcmp(y, out[ON_CPU], (size_t)c->R * sizeof *y));
        for (int64_t r = 0; r < c->R; r++) {
            ck_assert(y[r] >= 0 && y[r] < c->C && y[r] != c->first + r);
            ck_assert(c->groups < 2 || group[y[r]] != group[c->first + r]);
        }
    }
    free(scores);
}

// All devices draw the same, in any type: numbers are wide. Fewer columns than lanes and more, all
// rows of a batch and a part; nearly equal weights and a few that matter; groups.
START_TEST(draw_negatives_agree) {
    static const draw_case cases[] = {
        {0, 4, 2, 3, 0},       {2, 2, 0, 3, 0},     {1, 3, 1, 1, 0},
        {5, 9, 4, 3, 0},       {32, 32, 0, 14, 0},  {40, 100, 37, 3, 5},
        {64, 512, 448, 14, 0}, {33, 65, 0, 0.1, 2}, {20, 37, 3, 1e4, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint32_t step = 0; step < 20; step++) check_case(&cases[i], step);
}
END_TEST

// Columns come as often as their weights say, to within five standard deviations; one of them by
// nothing but what is added to the softmax.
START_TEST(draw_negatives_shares) {
    enum { C = 6, DRAWS = 400000 };
    static const float scores[C] = {1, 2, 3, -90, 0.5f, 2.5f};
    static const int32_t group[C] = {4, 1, 2, 3, 1, 0};
    for (int grouped = 0; grouped < 2; grouped++) {
        double weight[C], total = 0, sum = 0;
        int count[C] = {0};
        for (int c = 0; c < C; c++) sum += exp((double)scores[c]);
        for (int c = 0; c < C; c++) {
            weight[c] = c == 1 || (grouped && c == 4) ? 0 : exp((double)scores[c]) / sum + 1e-4;
            total += weight[c];
        }
        for (int i = 0; i < DRAWS; i++) {
            negatives_shape z = {1, C, 1, {1, 2, 3}, (uint32_t)i};
            int32_t y;
            draw_negatives_cpu(&y, scores, grouped ? group : NULL, &z, DTYPE_F32,
                               test_device(ON_CPU)->stream);
            ck_assert(y >= 0 && y < C);
            count[y]++;
        }
        for (int c = 0; c < C; c++) {
            double p = weight[c] / total, allowed = 5 * sqrt(DRAWS * p * (1 - p));
            ck_assert_msg(fabs(count[c] - DRAWS * p) <= allowed, "column %d: %d of %d, expected %g",
                          c, count[c], DRAWS, DRAWS * p);
        }
        ck_assert(count[3] > 0);
    }
}
END_TEST

// A sample that is alone gets -1. Where all are of one group, all others are as likely, whatever
// the scores are. Scores that are no numbers give the last that may be drawn.
START_TEST(draw_negatives_ends) {
    enum { C = 5, R = 64 };
    static const int32_t same[C] = {3, 3, 3, 3, 3}, few[C] = {0, 0, 1, 1, 0};
    const float one = 2, bad[C] = {NAN, 1, NAN, INFINITY, NAN}, far[C] = {50, 0, 0, -50, 0};
    device *d = test_device(_i);
    int32_t y = 7;
    int count[C] = {0};
    draw(&y, &one, NULL, &(negatives_shape){1, 1, 0, {1, 2, 3}, 4}, d);
    ck_assert_int_eq(y, -1);
    for (uint32_t sample = 0; sample < R * C; sample++) {
        draw(&y, far, same, &(negatives_shape){1, C, 2, {1, 2, 3}, sample}, d);
        ck_assert(y >= 0 && y < C);
        count[y]++;
    }
    for (int c = 0; c < C; c++)
        ck_assert(c == 2 ? count[c] == 0
                         : fabs(count[c] - R * C / 4.0) <= 5 * sqrt(R * C * 3 / 16.0));
    for (int64_t own = 0; own < C; own++) {
        const negatives_shape z = {1, C, own, {1, 2, 3}, 4};
        draw(&y, bad, NULL, &z, d);
        ck_assert_int_eq(y, own == C - 1 ? C - 2 : C - 1);
        draw(&y, bad, few, &z, d);
        ck_assert_int_eq(y, few[own] ? C - 1 : 3);
    }
}
END_TEST

// What a global sample draws does not depend on how the batch is split over ranks; other steps,
// seeds, sites and samples draw others. A recorded step takes step and sample from the device.
START_TEST(draw_negatives_keys) {
    enum { B = 48, PART = 17 };
    device *d = test_device(_i);
    float *scores = random_floats(B * B, 1, -1, 1);
    int32_t whole[B], parts[B], other[B];
    negatives_shape z = {B, B, 0, {5, 6, 7}, 1000};
    draw(whole, scores, NULL, &z, d);
    negatives_shape first = z, second = z;
    first.R = PART;
    second.R = B - PART, second.first = PART, second.first_sample += PART;
    draw(parts, scores, NULL, &first, d);
    draw(parts + PART, scores + PART * B, NULL, &second, d);
    ck_assert(!memcmp(whole, parts, sizeof whole));
    for (int i = 0; i < 4; i++) {
        negatives_shape changed = z;
        changed.key.seed += i == 0, changed.key.site += i == 1, changed.key.step += i == 2;
        changed.first_sample += i == 3;
        draw(other, scores, NULL, &changed, d);
        ck_assert(memcmp(whole, other, sizeof whole));
        if (_i != ON_SHIM || i < 2) continue;
        shim_record(d, true, z.key.step, z.first_sample);
        draw(other, scores, NULL, &changed, d);
        shim_record(d, false, 0, 0);
        ck_assert(!memcmp(whole, other, sizeof whole));
    }
    free(scores);
}
END_TEST

// The op draws at a site of its own each time, for the tape's samples, and leaves no gradient.
START_TEST(draw_negatives_op) {
    enum { R = 20, C = 40, FIRST = 20 };
    tape t;
    float *x = random_floats(R * C, 1, -1, 1), *dx = random_floats(R * C, 2, 1, 2);
    gradient g;
    tensor scores = tensor_over(x, DTYPE_F32, 2, (int64_t[]){R, C});
    int32_t halves[C], expected[R];
    for (int c = 0; c < C; c++) halves[c] = c % 2;
    tensor group = constant_i32(halves, 1, (int64_t[]){C});
    tape_open_large(&t, false);
    tensor_want(&scores, &g, dx);
    t.seed = 3, t.step = 4, t.first_sample = 120;
    tensor *y[2] = {draw_negatives(&t, &scores, FIRST, NULL),
                    draw_negatives(&t, &scores, FIRST, NULL)};
    ck_assert(y[0]->type == DTYPE_I32 && y[0]->rank == 1 && y[0]->dim[0] == R && !y[0]->grad);
    ck_assert(memcmp(y[0]->data, y[1]->data, R * sizeof(int32_t)));
    t.draws = 0;
    const negatives_shape z = {R, C, FIRST, tape_draw(&t), 120};
    draw(expected, x, NULL, &z, t.device);
    ck_assert(!memcmp(y[0]->data, expected, sizeof expected));
    const int32_t *paired = draw_negatives(&t, &scores, FIRST, &group)->data;
    for (int r = 0; r < R; r++) ck_assert(paired[r] % 2 != (FIRST + r) % 2);
    ck_assert(!t.last);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    tape_free(&t);
    free(x), free(dx);
}
END_TEST

static void draw_of(tape *t, dtype type, int64_t first, dtype group) {
    tensor *scores = tape_tensor_of(t, type, 2, (int64_t[]){2, 3});
    draw_negatives(t, scores, first, tape_tensor_of(t, group, 1, (int64_t[]){3}));
}
static void narrow(tape *t) {
    draw_of(t, DTYPE_BF16, 0, DTYPE_I32);
}
static void beyond(tape *t) {
    draw_of(t, DTYPE_F32, 2, DTYPE_I32);
}
static void before(tape *t) {
    draw_of(t, DTYPE_F32, -1, DTYPE_I32);
}
static void float_group(tape *t) {
    draw_of(t, DTYPE_F32, 0, DTYPE_F32);
}

START_TEST(draw_negatives_wrong) {
    expect_death(narrow, "draw_negatives scores: is BF16, expected F32");
    expect_death(beyond, "draw_negatives: samples 2 to 3 of 3");
    expect_death(before, "draw_negatives: samples -1 to 0 of 3");
    expect_death(float_group, "draw_negatives group: is F32, expected I32");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("draw_negatives");
    TCase *tests = tcase_create("draw_negatives");
    static const int which[] = {ON_CPU, ON_ORACLE, ON_SHIM};
    tcase_add_test(tests, draw_negatives_agree);
    tcase_add_test(tests, draw_negatives_shares);
    tcase_add_test(tests, draw_negatives_op);
    tcase_add_test(tests, draw_negatives_wrong);
    for (int i = 0; i < 3; i++) {
        tcase_add_loop_test(tests, draw_negatives_ends, which[i], which[i] + 1);
        tcase_add_loop_test(tests, draw_negatives_keys, which[i], which[i] + 1);
    }
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
