#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>
#include <string.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return concat_vector(t, in[0], in[1]);
}

START_TEST(concat_vector_shapes) {
    // rows (two dimensions), C1, C2
    static const int64_t dims[][4] = {
        {1, 1, 1, 1}, {2, 3, 5, 7}, {3, 1, 16, 16}, {1, 31, 17, 3}, {5, 13, 33, 40},
        {2, 1, 1030, 515}}; // more than goes at once
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        op_case c = {.op = "concat_vector", .inputs = 2, .run = run};
        c.input[0] = (op_input){.rank = 3, .dim = {dims[i][0], dims[i][1], dims[i][2]}};
        c.input[1] = (op_input){.rank = 1, .dim = {dims[i][3]}};
        for (int wanted = 1; wanted < 4; wanted++) {
            c.input[0].gradient = wanted & 1;
            c.input[1].gradient = wanted & 2;
            op_check(&c);
        }
    }
}
END_TEST

START_TEST(concat_vector_exact) {
    enum { ROWS = 211, C1 = 19, C2 = 23, C = C1 + C2 };
    float *x = random_integers(ROWS * C1, 1, 1000), *v = random_integers(C2, 2, 1000);
    float *y = random_integers(ROWS * C, 3, 9), *dy = random_integers(ROWS * C, 4, 1000);
    float *dx = random_integers(ROWS * C1, 5, 9), *dv = random_integers(C2, 6, 1000);
    float *before = random_integers(C2, 6, 1000);
    stream *s = test_device(false)->stream;
    concat_vector_forward_cpu(y, x, v, ROWS, C1, C2, DTYPE_F32, s);
    concat_vector_backward_cpu(dx, dv, dy, ROWS, C1, C2, 0, 1, DTYPE_F32, s);
    for (int r = 0; r < ROWS; r++) {
        ck_assert(!memcmp(y + r * C, x + r * C1, C1 * sizeof *y));
        ck_assert(!memcmp(y + r * C + C1, v, C2 * sizeof *y));
        ck_assert(!memcmp(dx + r * C1, dy + r * C, C1 * sizeof *y));
    }
    for (int i = 0; i < C2; i++) {
        for (int r = 0; r < ROWS; r++) before[i] += dy[r * C + C1 + i];
        ck_assert(dv[i] == before[i]);
    }
    free(x), free(v), free(y), free(dy), free(dx), free(dv), free(before);
}
END_TEST

static void matrix_for_vector(tape *t) {
    tensor *x = tape_tensor(t, 2, (int64_t[]){2, 3});
    concat_vector(t, x, x);
}

START_TEST(concat_vector_wrong_shape) {
    expect_death(matrix_for_vector, "concat_vector vector: has shape (2, 3), expected (-1)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("concat_vector");
    TCase *tests = tcase_create("concat_vector");
    tcase_add_test(tests, concat_vector_shapes);
    tcase_add_test(tests, concat_vector_exact);
    tcase_add_test(tests, concat_vector_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
