#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return add_table(t, in[0], in[1]);
}

START_TEST(add_table_shapes) {
    static const int64_t dims[][3] = {{1, 1, 1}, {3, 1, 5}, {2, 7, 11}, {5, 16, 16}, {7, 31, 29}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        op_case c = {.op = "add_table", .inputs = 2, .run = run};
        c.input[0] = (op_input){.rank = 3, .dim = {dims[i][0], dims[i][1], dims[i][2]}};
        c.input[1] = (op_input){.rank = 2, .dim = {dims[i][1], dims[i][2]}};
        for (int wanted = 1; wanted < 4; wanted++) {
            c.input[0].gradient = wanted & 1;
            c.input[1].gradient = wanted & 2;
            op_check(&c);
        }
    }
}
END_TEST

// Sums of whole numbers are exact in any order: bit by bit.
START_TEST(add_table_exact) {
    enum { B = 37, N = 1009 };
    float *dy = random_integers(B * N, 1, 1000), *dw = random_integers(N, 2, 1000);
    float *before = random_integers(N, 2, 1000);
    add_table_backward_cpu(dw, dy, B, N, 1, DTYPE_F32, DTYPE_F32, test_device(false)->stream);
    for (int i = 0; i < N; i++) {
        float sum = before[i];
        for (int b = 0; b < B; b++) sum += dy[b * N + i];
        ck_assert(dw[i] == sum);
    }
    free(dy), free(dw), free(before);
}
END_TEST

static void other_shape(tape *t) {
    add_table(t, tape_tensor(t, 3, (int64_t[]){2, 3, 4}), tape_tensor(t, 2, (int64_t[]){4, 3}));
}

START_TEST(add_table_wrong_shape) {
    expect_death(other_shape, "add_table table: has shape (4, 3), expected (3, 4)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("add_table");
    TCase *tests = tcase_create("add_table");
    tcase_add_test(tests, add_table_shapes);
    tcase_add_test(tests, add_table_exact);
    tcase_add_test(tests, add_table_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
