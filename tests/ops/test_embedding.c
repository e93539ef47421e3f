#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 300 };

typedef struct lookup {
    int64_t rows, V, D;
} lookup;

// Rows of the table that are never, once and often looked up.
static int32_t number(const lookup *l, int64_t row) {
    return (int32_t)(row % 3 ? row * row % l->V : l->V - 1);
}

static tensor *run(tape *t, tensor **in, const void *context) {
    static int32_t index[MAX_ROWS];
    const lookup *l = context;
    for (int64_t r = 0; r < l->rows; r++) index[r] = number(l, r);
    tensor numbers = constant_i32(index, 1, &l->rows);
    return embedding(t, in[0], &numbers);
}

START_TEST(embedding_shapes) {
    static const lookup cases[] = {{1, 1, 1}, {5, 3, 7}, {3, 11, 16}, {64, 16, 33}, {300, 97, 50},
                                   {5, 3, 2100}}; // wider than two threads take at once
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        op_check(&(op_case){
            .op = "embedding",
            .input = {{.rank = 2, .dim = {cases[i].V, cases[i].D}, .gradient = true, .weight = true}},
            .inputs = 1,
            .run = run,
            .context = &cases[i],
        });
}
END_TEST

// Copies and sums of whole numbers, bit by bit, with any number of threads.
START_TEST(embedding_exact) {
    static const lookup l = {257, 31, 43};
    int32_t index[257];
    for (int64_t r = 0; r < l.rows; r++) index[r] = number(&l, r);
    float *table = random_integers(l.V * l.D, 1, 1000),
          *dy = random_integers(l.rows * l.D, 2, 1000);
    float *y = random_integers(l.rows * l.D, 3, 9), *expected = random_integers(l.V * l.D, 4, 1000);
    for (int64_t i = 0; i < l.rows * l.D; i++) expected[index[i / l.D] * l.D + i % l.D] += dy[i];
    for (int threads = 1; threads < 6; threads++) {
        device *d;
        ck_assert_int_eq(device_open_cpu(&d, threads), 0);
        embedding_forward_cpu(y, table, index, l.rows, l.V, l.D, DTYPE_F32, d->stream);
        for (int64_t i = 0; i < l.rows * l.D; i++)
            ck_assert(y[i] == table[index[i / l.D] * l.D + i % l.D]);
        float *dw = random_integers(l.V * l.D, 4, 1000);
        embedding_backward_cpu(dw, dy, index, l.rows, l.V, l.D, 1, DTYPE_F32, DTYPE_F32, d->stream);
        ck_assert(!memcmp(dw, expected, (size_t)(l.V * l.D) * sizeof *dw));
        ck_assert_int_eq(device_failed(d), STATUS_OK);
        device_close(d);
        free(dw);
    }
    free(table), free(dy), free(y), free(expected);
}
END_TEST

// A number outside of the table is a failure of the step with its place; nothing else is touched.
START_TEST(embedding_outside) {
    enum { V = 5, D = 3 };
    static const int32_t bad[] = {-1, V, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 4; i++) {
        tape t;
        tape_open_large(&t, false);
        float *table = random_floats(V * D, 1, 1, 2), *dw = random_floats(V * D, 2, 1, 2);
        int32_t index[] = {2, bad[i], 4};
        tensor w = tensor_over(table, DTYPE_F32, 2, (int64_t[]){V, D});
        tensor numbers = constant_i32(index, 1, (int64_t[]){3});
        const float *y = embedding(&t, &w, &numbers)->data;
        for (int d = 0; d < D; d++)
            ck_assert(y[d] == table[2 * D + d] && y[D + d] == 0 &&
                      y[2 * D + d] == table[4 * D + d]);
        float dy[3 * D] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
        embedding_backward_cpu(dw, dy, index, 3, V, D, 0, DTYPE_F32, DTYPE_F32, t.device->stream);
        for (int k = 0; k < V * D; k++) ck_assert(dw[k] == (k / D == 2 || k / D == 4));
        ck_assert_int_eq(tape_failed(&t), STATUS_FORMAT);
        ck_assert_msg(strstr(status_text(), "at row 1 is outside of the table's 5 rows"), "%s",
                      status_text());
        tape_free(&t);
        free(table), free(dw);
    }
}
END_TEST

static void other_type(tape *t) {
    tensor *index = tape_tensor_of(t, DTYPE_I64, 1, (int64_t[]){3});
    embedding(t, tape_tensor(t, 2, (int64_t[]){5, 2}), index);
}

START_TEST(embedding_wrong_type) {
    expect_death(other_type, "embedding index: is I64, expected I32");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("embedding");
    TCase *tests = tcase_create("embedding");
    tcase_add_test(tests, embedding_shapes);
    tcase_add_test(tests, embedding_exact);
    tcase_add_test(tests, embedding_outside);
    tcase_add_test(tests, embedding_wrong_type);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
