#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return mean_tokens(t, in[0]);
}

START_TEST(mean_tokens_shapes) {
    static const struct {
        int rank;
        int64_t dim[4];
    } cases[] = {
        {3, {1, 1, 1}}, {3, {2, 7, 3}}, {3, {1, 1, 5}}, {4, {3, 4, 5, 65}}, {3, {2, 301, 130}},
        {3, {2, 2, 1030}}}; // more than goes at once
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int64_t *d = cases[i].dim;
        op_check(&(op_case){
            .op = "mean_tokens",
            .input = {{.rank = cases[i].rank, .dim = {d[0], d[1], d[2], d[3]}, .gradient = true}},
            .inputs = 1,
            .run = run,
        });
    }
}
END_TEST

static void nothing_between(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){2, 3});
    mean_tokens(t, &x);
}

START_TEST(mean_tokens_wrong_shapes) {
    expect_death(nothing_between, "mean_tokens inp");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("mean_tokens");
    TCase *tests = tcase_create("shapes");
    tcase_add_test(tests, mean_tokens_shapes);
    tcase_add_test(tests, mean_tokens_wrong_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
