#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return add(t, in[0], in[1]);
}

static tensor *run_twice_the_same(tape *t, tensor **in, const void *context) {
    (void)context;
    return add(t, in[0], in[0]);
}

START_TEST(add_shapes) {
    static const int64_t dims[][3] = {{1, 1, 1}, {2, 3, 5}, {3, 7, 11}, {2, 16, 16}, {5, 31, 29}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        op_input in = {.rank = 3, .dim = {dims[i][0], dims[i][1], dims[i][2]}, .gradient = true};
        op_input frozen = in;
        frozen.gradient = false;
        op_check(&(op_case){.op = "add", .input = {in, in}, .inputs = 2, .run = run});
        op_check(&(op_case){.op = "add", .input = {frozen, in}, .inputs = 2, .run = run});
        op_check(&(op_case){.op = "add", .input = {in}, .inputs = 1, .run = run_twice_the_same});
    }
}
END_TEST

START_TEST(add_exact) {
    enum { COUNT = 10007 };
    float *a = random_integers(COUNT, 1, 1000), *b = random_integers(COUNT, 2, 1000);
    float *y = random_integers(COUNT, 3, 1000), *d = random_integers(COUNT, 4, 1000);
    float *before = random_integers(COUNT, 4, 1000);
    stream *s = test_device(false)->stream;
    add_forward_cpu(y, a, b, COUNT, DTYPE_F32, s);
    add_backward_cpu(d, a, COUNT, 1, DTYPE_F32, s);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(y[i] == a[i] + b[i]);
        ck_assert(d[i] == before[i] + a[i]);
    }
    add_backward_cpu(d, a, COUNT, 0, DTYPE_F32, s);
    for (int i = 0; i < COUNT; i++) ck_assert(d[i] == a[i]);
    free(a), free(b), free(y), free(d), free(before);
}
END_TEST

static void other_shape(tape *t) {
    add(t, tape_tensor(t, 2, (int64_t[]){2, 3}), tape_tensor(t, 2, (int64_t[]){3, 2}));
}

START_TEST(add_wrong_shape) {
    expect_death(other_shape, "add b: has shape (3, 2), expected (2, 3)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("add");
    TCase *tests = tcase_create("add");
    tcase_add_test(tests, add_shapes);
    tcase_add_test(tests, add_exact);
    tcase_add_test(tests, add_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
