#include "tests/ops/helper_op_check.h"

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return relu(t, in[0]);
}

START_TEST(relu_shapes) {
    static const int64_t counts[] = {1, 3, 17, 64, 1000, 4099};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        op_check(&(op_case){
            .op = "relu",
            .input = {{.rank = 2,
                       .dim = {1, counts[i]},
                       .gradient = true,
                       .gap = 1e-3,
                       .low = counts[i] == 1 ? 0.5 : -1,
                       .high = 1}},
            .inputs = 1,
            .run = run,
        });
}
END_TEST

int main(void) {
    Suite *suite = suite_create("relu");
    TCase *tests = tcase_create("shapes");
    tcase_add_test(tests, relu_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
