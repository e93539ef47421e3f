#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return sum_channels(t, in[0]);
}

START_TEST(sum_channels_shapes) {
    static const int64_t dims[][4] = {{1, 1, 1, 1}, {2, 3, 3, 3}, {5, 7, 7, 3}, {3, 1, 1, 17}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        const int64_t *d = dims[i];
        op_check(&(op_case){
            .op = "sum_channels",
            .input = {{.rank = 4, .dim = {d[0], d[1], d[2], d[3]}, .gradient = true, .weight = true}},
            .inputs = 1,
            .run = run,
        });
    }
}
END_TEST

// What it is for: a grey image repeated three times under the full weight gives the same numbers,
// here whole ones, so all bits are equal.
START_TEST(sum_channels_is_a_repeated_image) {
    enum { PIXELS = 9 * 9 };
    tape t;
    tape_open_large(&t, false);
    float *grey = random_integers(PIXELS, 1, 8), *weight = random_integers(4 * 49 * 3, 2, 8);
    float colour[3 * PIXELS];
    for (int i = 0; i < 3 * PIXELS; i++) colour[i] = grey[i / 3];
    tensor w = tensor_over(weight, DTYPE_F32, 4, (int64_t[]){4, 7, 7, 3});
    tensor one = tensor_over(grey, DTYPE_F32, 4, (int64_t[]){1, 9, 9, 1});
    tensor three = tensor_over(colour, DTYPE_F32, 4, (int64_t[]){1, 9, 9, 3});
    tensor *a = conv2d(&t, &one, sum_channels(&t, &w), NULL, 2, 3);
    tensor *b = conv2d(&t, &three, &w, NULL, 2, 3);
    ck_assert_int_eq(tape_failed(&t), STATUS_OK);
    ck_assert_mem_eq(a->data, b->data, tensor_bytes(b));
    tape_free(&t);
    free(grey);
    free(weight);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sum_channels");
    TCase *tests = tcase_create("shapes");
    tcase_add_test(tests, sum_channels_shapes);
    tcase_add_test(tests, sum_channels_is_a_repeated_image);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
