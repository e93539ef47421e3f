#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 64, POSITIONS = 23 };

typedef struct heads_case {
    int64_t N, HQ, HK, D;
    bool repeat;
    int only; // 1 to 3: the loss is made of this output alone
} heads_case;

// Rows of texts of 5, and the last position.
static void make_positions(int32_t *positions, int64_t N) {
    for (int64_t r = 0; r < N; r++) positions[r] = r == 1 ? POSITIONS - 1 : (int32_t)(r % 5);
}

static tensor *run(tape *t, tensor **in, const void *context) {
    const heads_case *c = context;
    int32_t positions[MOST_ROWS];
    tensor *out[3];
    make_positions(positions, c->N);
    tensor rows = constant_i32(positions, 1, &c->N);
    rotate_heads(t, out, in[0], &(rotate_args){in[1], &rows, c->HQ, c->HK, c->repeat});
    const int64_t kept = c->repeat ? c->HQ : c->HK;
    for (int i = 0; i < 3; i++)
        tensor_expect(out[i], "an output", 3, (int64_t[]){c->N, i ? kept : c->HQ, c->D});
    if (c->only) return out[c->only - 1];
    return concat_tokens(t, concat_tokens(t, out[0], out[1]), out[2]);
}

// The table holds any numbers: the rule is a transpose, whatever it turns by.
static op_case case_of(const heads_case *c) {
    return (op_case){
        .op = "rotate_heads",
        .input = {{.rank = 2, .dim = {c->N, (c->HQ + 2 * c->HK) * c->D}, .gradient = true},
                  {.rank = 3, .dim = {POSITIONS, c->D / 2, 2}, .wide = true}},
        .inputs = 2,
        .run = run,
        .context = c,
        .tolerance = 1e-5};
}

// With and without copies of heads; whole packs and not; more work in a row than threads.
START_TEST(rotate_heads_shapes) {
    static const heads_case cases[] = {
        {1, 1, 1, 2, true, 0},   {7, 3, 1, 6, true, 0},   {7, 3, 1, 6, false, 0},
        {5, 4, 2, 16, true, 0},  {5, 4, 2, 16, false, 0}, {9, 2, 2, 10, true, 0},
        {3, 8, 2, 64, true, 0},  {2, 4, 4, 128, true, 0}, {3, 40, 10, 16, true, 0},
        {64, 2, 1, 8, false, 0}, {2, 6, 3, 1024, true, 0}};
    const op_case k = case_of(&cases[_i]);
    op_check(&k);
}
END_TEST

// What does not matter to the loss has gradients of zero.
START_TEST(rotate_heads_only_one) {
    static const heads_case cases[] = {
        {5, 4, 2, 16, true, 1}, {5, 4, 2, 16, true, 2}, {5, 4, 2, 16, false, 3}};
    const op_case k = case_of(&cases[_i]);
    op_check(&k);
}
END_TEST

// --- what it computes ----------------------------------------------------------------------------
enum { D = 8 };

// As LLaMA's: pair i turns by position / 10000^(2 i / D).
static void fill_table(float *table) {
    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < D / 2; i++) {
            const double angle = p / pow(10000, 2.0 * i / D);
            table[(p * D / 2 + i) * 2] = (float)cos(angle);
            table[(p * D / 2 + i) * 2 + 1] = (float)sin(angle);
        }
}

// One row at POSITION of one head of each kind on the CPU.
static void turn_one(float *q, float *k, float *v, const float *qkv, int32_t position) {
    float table[POSITIONS * D];
    fill_table(table);
    const heads_shape z = {1, 1, 1, D, POSITIONS, 1, table, &position};
    rotate_heads_forward_cpu(q, k, v, qkv, &z, DTYPE_F32, test_device(ON_CPU)->stream);
}

static double dot(const float *a, const float *b) {
    double sum = 0;
    for (int i = 0; i < D; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

// The halves of a head are its pairs; scores depend on how far two positions are apart and on
// nothing else; values do not turn.
START_TEST(rotate_heads_is_rotary) {
    float unit[3 * D] = {1}, q[D], k[D], v[D], *x = random_floats(3 * D, 4, -1, 1);
    turn_one(q, k, v, unit, 1);
    for (int i = 0; i < D; i++) {
        const double expected = i == 0 ? cos(1) : i == D / 2 ? sin(1) : 0;
        ck_assert_double_le(fabs((double)q[i] - expected), 1e-7);
    }
    double first = 0;
    for (int p = 0; p + 3 < POSITIONS; p++) {
        float other[D];
        turn_one(q, other, v, x, p + 3);
        turn_one(other, k, v, x, p);
        ck_assert(!memcmp(v, x + 2 * D, sizeof v));
        if (p == 0) first = dot(q, k);
        ck_assert_double_le(fabs(dot(q, k) - first), 1e-6);
    }
    ck_assert_double_ge(fabs(first - dot(x, x + D)), 1e-2);
    free(x);
}
END_TEST

// A position outside of the table: a failure of the step on the CPU, NaN elsewhere; the other rows
// are what they were.
START_TEST(rotate_heads_far_position) {
    device *d = test_device(_i);
    if (!d || _i == ON_ORACLE) return;
    enum { ROWS = 3, COUNT = ROWS * D };
    const dtype type = d->type;
    float numbers[POSITIONS * D];
    double host[3 * COUNT] = {0}, out[COUNT];
    int32_t positions[ROWS] = {2, POSITIONS, 1};
    fill_table(numbers);
    for (int i = 0; i < 3 * COUNT; i++) element_put(host, i, 1 + i % 5, type);
    const size_t bytes = COUNT * dtype_size(type);
    void *table = device_hold(d, numbers, sizeof numbers), *qkv = device_hold(d, host, 3 * bytes);
    void *rows = device_hold(d, positions, sizeof positions), *y[3];
    for (int i = 0; i < 3; i++) y[i] = device_hold(d, host, bytes);
    const heads_shape z = {ROWS, 1, 1, D, POSITIONS, 1, table, rows};
    d->ops->rotate_heads_forward(y[0], y[1], y[2], qkv, &z, type, d->stream);
    for (int i = 0; i < 3; i++) {
        device_fetch(d, out, y[i], bytes);
        for (int e = 0; e < COUNT; e++)
            ck_assert((_i >= ON_SHIM && i < 2 && e / D == 1) == isnan(element_get(out, e, type)));
    }
    ck_assert_int_eq(device_failed(d), _i >= ON_SHIM ? STATUS_OK : STATUS_FORMAT);
    if (_i < ON_SHIM) ck_assert_ptr_nonnull(strstr(status_text(), "row 1 is at position 23"));
    device_fetch(d, NULL, table, 0), device_fetch(d, NULL, qkv, 0), device_fetch(d, NULL, rows, 0);
}
END_TEST

// Without rows nothing is touched.
START_TEST(rotate_heads_no_rows) {
    device *d = test_device(_i);
    if (!d) return;
    double one = 7, back;
    void *block = device_hold(d, &one, sizeof one);
    const heads_shape z = {0, 2, 1, D, POSITIONS, 2, block, block};
    d->ops->rotate_heads_forward(block, block, block, block, &z, d->type, d->stream);
    d->ops->rotate_heads_backward(block, block, block, block, &z, 0, d->type, d->stream);
    device_fetch(d, &back, block, sizeof back);
    ck_assert(!memcmp(&one, &back, sizeof one));
    ck_assert_int_eq(device_failed(d), STATUS_OK);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static void heads_of(tape *t, int64_t width, int64_t HQ, int64_t HK, int64_t pairs) {
    tensor *out[3], *table = tape_tensor(t, 3, (int64_t[]){9, pairs, 2});
    tensor *positions = tape_tensor_of(t, DTYPE_I32, 1, (int64_t[]){3});
    rotate_heads(t, out, tape_tensor(t, 2, (int64_t[]){3, width}),
                 &(rotate_args){table, positions, HQ, HK, true});
}
static void no_multiple(tape *t) {
    heads_of(t, 28, 3, 2, 2);
}
static void odd_head(tape *t) {
    heads_of(t, 12, 2, 1, 1);
}
static void other_width(tape *t) {
    heads_of(t, 17, 2, 1, 2);
}
static void other_table(tape *t) {
    heads_of(t, 16, 2, 1, 4);
}

START_TEST(rotate_heads_wrong_calls) {
    expect_death(no_multiple, "rotate_heads: 3 heads of queries and 2 of keys");
    expect_death(odd_head, "rotate_heads qkv: rows of 12 are no 4 heads of an even width");
    expect_death(other_width, "rotate_heads qkv: rows of 17 are no 4 heads of an even width");
    expect_death(other_table, "rotate_heads table: has shape (9, 4, 2), expected (-1, 2, 2)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("rotate_heads");
    TCase *tests = tcase_create("rotate_heads");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, rotate_heads_shapes, 0, 11);
    tcase_add_loop_test(tests, rotate_heads_only_one, 0, 3);
    tcase_add_test(tests, rotate_heads_is_rotary);
    tcase_add_loop_test(tests, rotate_heads_far_position, 0, TEST_DEVICES);
    tcase_add_loop_test(tests, rotate_heads_no_rows, 0, TEST_DEVICES);
    tcase_add_test(tests, rotate_heads_wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
