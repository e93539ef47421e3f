#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>

static tensor *run(tape *t, tensor **in, const void *context) {
    (void)context;
    return channels_first(t, in[0]);
}

START_TEST(channels_first_shapes) {
    static const int64_t dims[][4] = {
        {1, 1, 1, 1}, {2, 3, 5, 7}, {3, 4, 4, 16}, {1, 31, 2, 37}, {2, 7, 9, 65}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        op_input in = {.rank = 4, .gradient = true};
        for (int d = 0; d < 4; d++) in.dim[d] = dims[i][d];
        op_check(&(op_case){.op = "channels_first", .input = {in}, .inputs = 1, .run = run});
    }
    op_input flat = {.rank = 2, .dim = {5, 3}, .gradient = true};
    op_check(&(op_case){.op = "channels_first", .input = {flat}, .inputs = 1, .run = run});
}
END_TEST

START_TEST(channels_first_exact) {
    enum { B = 2, H = 11, W = 13, C = 67 };
    float *x = random_integers(B * H * W * C, 1, 1000);
    tape t;
    tape_open_large(&t, false);
    tensor in = tensor_over(x, DTYPE_F32, 4, (int64_t[]){B, H, W, C});
    tensor *out = channels_first(&t, &in);
    tensor_expect(out, "out", 4, (int64_t[]){B, C, H, W});
    float *y = out->data;
    for (int b = 0; b < B; b++)
        for (int c = 0; c < C; c++)
            for (int i = 0; i < H * W; i++)
                ck_assert(y[(b * C + c) * H * W + i] == x[(b * H * W + i) * C + c]);
    // And back, onto what is there.
    float *sum = random_integers(B * H * W * C, 2, 1000),
          *before = random_integers(B * H * W * C, 2, 1000);
    transpose_cpu(sum, y, B, C, H * W, 1, DTYPE_F32, t.device->stream);
    for (int i = 0; i < B * H * W * C; i++) ck_assert(sum[i] == before[i] + x[i]);
    free(x), free(sum), free(before);
    tape_free(&t);
}
END_TEST

static void no_channels(tape *t) {
    channels_first(t, tape_tensor(t, 1, (int64_t[]){5}));
}

START_TEST(channels_first_wrong_shape) {
    expect_death(no_channels, "channels_first inp: has shape (5), expected 2 dimensions or more");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("channels_first");
    TCase *tests = tcase_create("channels_first");
    tcase_add_test(tests, channels_first_shapes);
    tcase_add_test(tests, channels_first_exact);
    tcase_add_test(tests, channels_first_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
