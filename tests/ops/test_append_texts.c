// models/ops/append_texts.c: what was drawn on the device completes a batch's tables, the same on
// all devices.
#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <string.h>

enum { N = 41, COUNT = 5, TEXTS = 6, TAIL = 7, TOTAL = 30, GUARD = 3 };

static const int32_t text_first[TEXTS + 1] = {0, 4, 4, 15, 16, 21, TOTAL}; // one is empty
static const int32_t chosen[COUNT] = {5, 1, 0, 5, 2}; // 9 + 0 + 4 + 9 + 11 tokens: 33 of 34 rows

typedef struct tables {
    int32_t ids[N + GUARD], positions[N + GUARD], rows[2 * N + GUARD];
    attention_segment segments[COUNT + 1], keys_only[COUNT + 1];
} tables;

// Everything of a device's own, run and fetched.
static void append(tables *x, const int32_t *index, int64_t count, int64_t rows, device *d) {
    int32_t text_ids[TOTAL];
    for (int i = 0; i < TOTAL; i++) text_ids[i] = 100 + i;
    memset(x, 0x5a, sizeof *x);
    tables *on = device_hold(d, x, sizeof *x);
    void *i = device_hold(d, index, COUNT * sizeof *index),
         *t = device_hold(d, text_ids, sizeof text_ids);
    void *f = device_hold(d, text_first, sizeof text_first);
    const appended_texts a = {
        i,     t,     f,    on->ids, on->positions, on->rows, on->segments, on->keys_only,
        count, TEXTS, TAIL, rows,    1000,          32};
    d->ops->append_texts(&a, d->stream);
    device_fetch(d, x, on, sizeof *x);
    device_fetch(d, NULL, i, 0);
    device_fetch(d, NULL, t, 0);
    device_fetch(d, NULL, f, 0);
}

// By hand: rows, tables and the filler behind them; nothing in front of the tail or behind the last
// row.
START_TEST(texts_stand_where_they_should) {
    tables x;
    device *d = test_device(_i);
    int32_t untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    append(&x, chosen, COUNT, N, d);
    ck_assert_int_eq(device_failed(d), STATUS_OK);
    int64_t row = TAIL;
    for (int i = 0; i < COUNT; i++) {
        const int32_t from = text_first[chosen[i]], length = text_first[chosen[i] + 1] - from;
        ck_assert_int_eq(x.segments[i].q_first[1], row);
        ck_assert_int_eq(x.segments[i].k_first[1], row);
        ck_assert_int_eq(x.keys_only[i].k_first[1], row);
        ck_assert_int_eq(x.segments[i].q_count[1], length);
        ck_assert_int_eq(x.segments[i].k_count[1], length);
        ck_assert_int_eq(x.keys_only[i].k_count[1], length);
        ck_assert_int_eq(x.keys_only[i].q_count[1], untouched);
        ck_assert_int_eq(x.segments[i].q_first[0], untouched);
        for (int32_t j = 0; j < length; j++, row++) {
            ck_assert_int_eq(x.ids[row], 100 + from + j);
            ck_assert_int_eq(x.positions[row], j);
            ck_assert_int_eq(x.rows[2 * row], 1000 + i);
            ck_assert_int_eq(x.rows[2 * row + 1], 32 + j);
        }
    }
    ck_assert_int_eq(row, N - 1);
    ck_assert(x.ids[row] == 0 && x.positions[row] == 0 && x.rows[2 * row] == -1 &&
              x.rows[2 * row + 1] == 0);
    ck_assert(x.ids[TAIL - 1] == untouched && x.rows[2 * TAIL - 1] == untouched);
    for (int i = 0; i < GUARD; i++)
        ck_assert(x.ids[N + i] == untouched && x.positions[N + i] == untouched &&
                  x.rows[2 * N + i] == untouched);
    ck_assert_int_eq(x.segments[COUNT].q_first[1], untouched);
}
END_TEST

// No text at all: only filler.
START_TEST(nothing_was_chosen) {
    tables x;
    device *d = test_device(_i);
    append(&x, chosen, 0, N, d);
    for (int64_t row = TAIL; row < N; row++) ck_assert(x.ids[row] == 0 && x.rows[2 * row] == -1);
}
END_TEST

// A number that is none, and a text without room, write nothing beyond; the CPU reports them.
START_TEST(wrong_numbers) {
    static const int32_t wrong[COUNT] = {-1, TEXTS, 0, 2, 2};
    tables x;
    device *d = test_device(_i);
    int32_t untouched;
    memset(&untouched, 0x5a, sizeof untouched);
    append(&x, wrong, COUNT, TAIL + 20, d);
    ck_assert_int_eq(device_failed(d), _i == ON_CPU ? STATUS_FORMAT : STATUS_OK);
    ck_assert_int_eq(x.segments[0].k_count[1], 0);
    ck_assert_int_eq(x.segments[1].k_count[1], 0);
    ck_assert_int_eq(x.segments[2].k_first[1], TAIL);
    ck_assert_int_eq(x.segments[3].k_count[1], 11);
    ck_assert_int_eq(x.segments[4].k_count[1], 0); // 4 + 11 + 11 > 20
    ck_assert_int_eq(x.rows[2 * (TAIL + 15)], -1);
    ck_assert_int_eq(x.ids[TAIL + 20], untouched);
}
END_TEST

START_TEST(segments_are_pointed) {
    enum { MANY = 300 };
    static attention_segment segments[MANY + 1];
    static int32_t index[MANY];
    device *d = test_device(_i);
    memset(segments, 0x5a, sizeof segments);
    for (int i = 0; i < MANY; i++) index[i] = (i * 7) % MANY;
    void *s = device_hold(d, segments, sizeof segments), *x = device_hold(d, index, sizeof index);
    d->ops->point_segments(s, x, MANY, 196, d->stream);
    device_fetch(d, segments, s, sizeof segments);
    device_fetch(d, NULL, x, 0);
    for (int i = 0; i < MANY; i++) {
        ck_assert_int_eq(segments[i].k_first[0], index[i] * 196);
        ck_assert_int_eq(segments[i].k_count[0], 196);
        ck_assert_int_eq(segments[i].k_first[1], segments[MANY].k_first[1]);
    }
    ck_assert_int_ne(segments[MANY].k_count[0], 196);
}
END_TEST

// The ops reach the kernels with the right places, and refuse others.
static void call(tape *t, int64_t tail, int64_t first, dtype type) {
    tensor *index = tape_tensor_of(t, type, 1, (int64_t[]){2}),
           *numbers = tape_tensor_of(t, DTYPE_I32, 1, (int64_t[]){9});
    tensor *table = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){4, SEGMENT_COLUMNS});
    tensor *rows = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){9, 2});
    for (int i = 0; i < 9; i++) ((int32_t *)numbers->data)[i] = i;
    ((int32_t *)index->data)[0] = 2, ((int32_t *)index->data)[1] = 0;
    append_texts(t,
                 &(append_texts_args){.index = index,
                                      .text_ids = numbers,
                                      .text_first = numbers,
                                      .ids = tape_tensor_of(t, DTYPE_I32, 1, (int64_t[]){9}),
                                      .positions = tape_tensor_of(t, DTYPE_I32, 1, (int64_t[]){9}),
                                      .rows = rows,
                                      .segments = table,
                                      .keys_only = table,
                                      .tail = tail,
                                      .first_segment = first});
    point_segments(t, table, first, index, 10);
    const attention_segment *s = table->data;
    ck_assert_int_eq(s[first].k_first[1], tail);
    ck_assert_int_eq(s[first + 1].k_first[1], tail + 1);
    ck_assert_int_eq(s[first].k_first[0], 20);
    ck_assert_int_eq(((int32_t *)rows->data)[2 * tail + 2], 1);
}
static void beyond_rows(tape *t) {
    call(t, 10, 0, DTYPE_I32);
}
static void beyond_segments(tape *t) {
    call(t, 0, 3, DTYPE_I32);
}
static void float_index(tape *t) {
    call(t, 0, 0, DTYPE_F32);
}

START_TEST(ops) {
    tape t;
    tape_open_large(&t, false);
    call(&t, 3, 2, DTYPE_I32);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    tape_free(&t);
    expect_death(beyond_rows, "append_texts: row 10 of 9");
    expect_death(beyond_segments, "append_texts segments: segments 3 to 4 of 4");
    expect_death(float_index, "append_texts index: is F32, expected I32");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("append_texts");
    TCase *tests = tcase_create("append_texts");
    static const int which[] = {ON_CPU, ON_ORACLE, ON_SHIM};
    for (int i = 0; i < 3; i++) {
        tcase_add_loop_test(tests, texts_stand_where_they_should, which[i], which[i] + 1);
        tcase_add_loop_test(tests, nothing_was_chosen, which[i], which[i] + 1);
        tcase_add_loop_test(tests, segments_are_pointed, which[i], which[i] + 1);
        if (which[i] != ON_ORACLE)
            tcase_add_loop_test(tests, wrong_numbers, which[i], which[i] + 1);
    }
    tcase_add_test(tests, ops);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
