// Tables of attention_rows that are empty, shared by threads, or wrong: on the CPU alone, which
// looks at what it reads.
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>
#include <string.h>

enum { HEADS = 2, WIDTH = 9, LINE = HEADS * WIDTH };

// No segments, no rows: zeros, and nothing.
START_TEST(no_rows_at_all) {
    for (int which = 0; which < 2; which++) {
        tape t;
        double q_data[12] = {1}, k_data[12] = {1}, nothing[1], dq[12], dk[12];
        tape_open_large(&t, which);
        dtype type = t.device->type;
        for (int rows = 0; rows < 3; rows += 2) {
            tensor q = tensor_over(q_data, type, 3, (int64_t[]){rows, 2, 3}), none = q;
            tensor k = tensor_over(k_data, type, 3, (int64_t[]){2, 2, 3}), v = k, *out[2];
            tensor table = tensor_over(nothing, DTYPE_I32, 2, (int64_t[]){0, 12});
            gradient gq, gk, gv;
            double dv[12];
            for (int i = 0; i < 12; i++)
                element_put(dq, i, 5, type), element_put(dk, i, 5, type),
                    element_put(dv, i, 5, type);
            tensor_want(&q, &gq, dq), tensor_want(&k, &gk, dk), tensor_want(&v, &gv, dv);
            tape_begin(&t, true);
            attention_rows(
                &t, out,
                &(attention_rows_args){.q = {&q}, .k = {&k}, .v = {&v}, .segments = &table});
            ck_assert_ptr_null(out[1]);
            ck_assert_int_eq(out[0]->dim[0], rows);
            tensor *y = rows ? tape_view(&t, out[0], 3, (int64_t[]){1, rows, 6}) : NULL;
            for (int64_t i = 0; i < tensor_count(out[0]); i++)
                ck_assert(element_get(out[0]->data, i, type) == 0);
            if (!y) continue;
            y = mean_tokens(&t, y);
            tensor *weight = &none;
            none = tensor_over(q_data, type, 2, (int64_t[]){1, 6});
            tape_backward(&t, linear(&t, y, weight, NULL), 1);
            for (int i = 0; i < 6 * rows; i++) ck_assert(element_get(dq, i, type) == 0);
            for (int i = 0; i < 12; i++)
                ck_assert(element_get(dk, i, type) == 0 && element_get(dv, i, type) == 0);
        }
        ck_assert_int_eq(tape_failed(&t), STATUS_OK);
        tape_free(&t);
    }
}
END_TEST

// Gradients of shared keys are the same bits at any number of threads.
START_TEST(rows_threads) {
    enum { S = 5, QUERIES = 41, KEYS = 39, Q = S * QUERIES * LINE, K = 2 * KEYS * LINE };
    float *q = random_floats(Q, 1, -2, 2), *k = random_floats(K, 2, -2, 2),
          *v = random_floats(K, 3, -2, 2);
    float *dout = random_floats(Q, 4, -2, 2), *out = calloc(Q, 4), *dq = calloc(Q, 4);
    float *dk = calloc(K, 4), *dv = calloc(K, 4), *kept = calloc(K, 4), lse[S * QUERIES * HEADS];
    attention_segment s[S];
    for (int i = 0; i < S; i++)
        s[i] = (attention_segment){{i * QUERIES}, {QUERIES}, {i % 2 * KEYS}, {KEYS}, i, 0};
    attention_shape z = {
        .B = S, .TQ = QUERIES, .TK = KEYS, .H = HEADS, .D = WIDTH, .scale = 1, .dropout = 0.2};
    z.segments = s, z.q_rows[0] = S * QUERIES, z.k_rows[0] = 2 * KEYS;
    const attention_tensors x = {{out}, {lse}, {q}, {k}, {v}};
    const attention_gradients g = {.dq = {dq}, .dk = {dk}, .dv = {dv}, .dout = {dout}};
    for (int threads = 1; threads < 6; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        void *scratch = malloc(attention_scratch_cpu(&z, DTYPE_F32, d->stream));
        attention_forward_cpu(&x, &z, DTYPE_F32, scratch, d->stream);
        attention_backward_cpu(&g, &x, &z, DTYPE_F32, scratch, d->stream);
        if (threads > 1) ck_assert(!memcmp(kept, dk, K * 4));
        memcpy(kept, dk, K * 4);
        free(scratch);
        device_close(d);
    }
    free(q), free(k), free(v), free(dout), free(out), free(dq), free(dk), free(dv), free(kept);
}
END_TEST

// --- wrong calls ---------------------------------------------------------------------------------
static void call_knowing(tape *t, const attention_segment *s, int count, segments_known known) {
    static float numbers[60];
    tensor q = tensor_over(numbers, DTYPE_F32, 3, (int64_t[]){10, 2, 3}), k = q, v = q, *out[2];
    tensor table = tensor_over((void *)(uintptr_t)s, DTYPE_I32, 2, (int64_t[]){count, 12});
    attention_rows(t, out,
                   &(attention_rows_args){.q = {&q},
                                          .k = {&k},
                                          .v = {&v},
                                          .segments = &table,
                                          .known = known,
                                          .most_queries = 6,
                                          .most_keys = 6});
}

static void call_with(tape *t, const attention_segment *s, int count) {
    call_knowing(t, s, count, SEGMENTS_ANY);
}

static void keys_in_part(tape *t) {
    static const attention_segment s[] = {{{0}, {2}, {1}, {4}, 0, 0}, {{2}, {2}, {1}, {3}, 0, 0}};
    call_with(t, s, 2);
}

static void queries_twice(tape *t) {
    static const attention_segment s[] = {{{0}, {2}, {0}, {4}, 0, 0}, {{1}, {2}, {4}, {3}, 0, 0}};
    call_with(t, s, 2);
}

static void keys_outside(tape *t) {
    static const attention_segment s[] = {{{0}, {2}, {7}, {4}, 0, 0}};
    call_with(t, s, 1);
}

static void keys_of_no_tensor(tape *t) {
    static const attention_segment s[] = {{{0}, {2}, {0, 0}, {2, 1}, 0, 0}};
    call_with(t, s, 1);
}

static void more_than_most(tape *t) {
    static const attention_segment s[] = {{{0}, {7}, {0}, {4}, 0, 0}};
    call_with(t, s, 1);
}

static void keys_shared_after_all(tape *t) {
    static const attention_segment s[] = {{{0}, {2}, {1}, {4}, 0, 1}, {{2}, {2}, {1}, {4}, 0, 1}};
    call_knowing(t, s, 2, SEGMENTS_CAUSAL);
}

static void causal_after_all(tape *t) {
    static const attention_segment s[] = {{{0}, {2}, {1}, {4}, 0, 0}, {{2}, {2}, {5}, {4}, 0, 1}};
    call_knowing(t, s, 2, SEGMENTS_FULL);
}

// A segment that does nothing is of every kind.
static void not_causal_after_all(tape *t) {
    static const attention_segment s[] = {{{0}, {0}, {1}, {4}, 0, 0}, {{2}, {2}, {1}, {4}, 0, 0}};
    call_knowing(t, s, 2, SEGMENTS_CAUSAL);
}

static void keys_alone(tape *t) {
    tensor *q = tape_tensor(t, 3, (int64_t[]){2, 3, 4}), *out[2];
    tensor *table = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){1, 12});
    attention_rows(t, out, &(attention_rows_args){.q = {q}, .k = {NULL, q}, .segments = table});
}

static void other_width(tape *t) {
    tensor *q = tape_tensor(t, 3, (int64_t[]){2, 3, 4}),
           *k = tape_tensor(t, 3, (int64_t[]){2, 4, 3}), *out[2];
    tensor *table = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){1, 12});
    attention_rows(t, out, &(attention_rows_args){.q = {q}, .k = {k}, .v = {k}, .segments = table});
}

static void keys_are_queries(tape *t) {
    gradient g = {0};
    tensor *q = tape_tensor(t, 3, (int64_t[]){2, 3, 4}), *out[2];
    tensor *table = tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){1, 12});
    q->grad = &g;
    attention_rows(t, out, &(attention_rows_args){.q = {q}, .k = {q}, .v = {q}, .segments = table});
}

START_TEST(wrong_calls) {
    expect_death(keys_in_part, "segments 0 and 1 both have key row 1");
    expect_death(queries_twice, "segments 0 and 1 both have query row 1");
    expect_death(keys_outside, "segment 0 has keys from row 7 on, 4 of them, in 10 rows");
    expect_death(keys_of_no_tensor, "segment 0 has keys from row 0 on, 1 of them, in 0 rows");
    expect_death(more_than_most, "segment 0 has 7 queries, expected at most 6");
    expect_death(keys_shared_after_all, "segments 0 and 1 share keys, the call says that none do");
    expect_death(causal_after_all, "segment 1 is causal, the call says otherwise");
    expect_death(not_causal_after_all, "segment 1 is not causal, the call says otherwise");
    expect_death(keys_alone, "attention_rows v: has shape NULL, expected (2, 3, 4)");
    expect_death(keys_are_queries, "two of q, k and v are the same tensor and want a gradient");
    expect_death(other_width, "attention_rows k: has shape (2, 4, 3), expected (-1, 3, 4)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("attention_segments");
    TCase *tests = tcase_create("attention_segments");
    tcase_add_test(tests, no_rows_at_all);
    tcase_add_test(tests, rows_threads);
    tcase_add_test(tests, wrong_calls);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
