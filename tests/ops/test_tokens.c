#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <stdlib.h>
#include <string.h>

static tensor *run_concat(tape *t, tensor **in, const void *context) {
    (void)context;
    return concat_tokens(t, in[0], in[1]);
}

static tensor *run_concat_same(tape *t, tensor **in, const void *context) {
    (void)context;
    return concat_tokens(t, in[0], in[0]);
}

static tensor *run_slice(tape *t, tensor **in, const void *context) {
    const int64_t *range = context;
    return slice_tokens(t, in[0], range[0], range[1]);
}

START_TEST(concat_tokens_shapes) {
    // B, T1, T2, D
    static const int64_t dims[][4] = {
        {1, 1, 1, 1}, {2, 3, 5, 7}, {3, 16, 1, 16}, {7, 2, 31, 3}, {2, 97, 100, 24}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        op_case c = {.op = "concat_tokens", .inputs = 2, .run = run_concat};
        c.input[0] = (op_input){.rank = 3, .dim = {dims[i][0], dims[i][1], dims[i][3]}};
        c.input[1] = (op_input){.rank = 3, .dim = {dims[i][0], dims[i][2], dims[i][3]}};
        for (int wanted = 1; wanted < 4; wanted++) {
            c.input[0].gradient = wanted & 1;
            c.input[1].gradient = wanted & 2;
            op_check(&c);
        }
        c.input[0].gradient = true;
        c.inputs = 1;
        c.run = run_concat_same;
        op_check(&c);
    }
}
END_TEST

START_TEST(slice_tokens_shapes) {
    // B, T, D; first, count. Of activations and of weights.
    static const int64_t dims[][5] = {{1, 1, 1, 0, 1},
                                      {2, 5, 7, 1, 3},
                                      {3, 16, 16, 15, 1},
                                      {7, 31, 3, 0, 29},
                                      {2, 197, 24, 1, 196}};
    for (size_t i = 0; i < 2 * sizeof dims / sizeof *dims; i++) {
        const int64_t *d = dims[i / 2];
        op_check(&(op_case){
            .op = "slice_tokens",
            .input = {{.rank = 3, .dim = {d[0], d[1], d[2]}, .gradient = true, .weight = i % 2}},
            .inputs = 1,
            .run = run_slice,
            .context = &d[3],
        });
    }
}
END_TEST

// Put together and taken apart again, bit by bit; enough tokens for more than one piece per thread.
START_TEST(tokens_exact) {
    enum { B = 3, T1 = 41, T2 = 83, D = 113, T = T1 + T2 };
    float *a = random_integers(B * T1 * D, 1, 1000), *b = random_integers(B * T2 * D, 2, 1000);
    tape t;
    tape_open_large(&t, false);
    tensor x = tensor_over(a, DTYPE_F32, 3, (int64_t[]){B, T1, D});
    tensor z = tensor_over(b, DTYPE_F32, 3, (int64_t[]){B, T2, D});
    tensor *y = concat_tokens(&t, &x, &z);
    tensor_expect(y, "y", 3, (int64_t[]){B, T, D});
    for (int s = 0; s < B; s++) {
        const float *row = (const float *)y->data + s * T * D;
        ck_assert(!memcmp(row, a + s * T1 * D, T1 * D * sizeof *a));
        ck_assert(!memcmp(row + T1 * D, b + s * T2 * D, T2 * D * sizeof *b));
    }
    ck_assert(!memcmp(slice_tokens(&t, y, 0, T1)->data, a, B * T1 * D * sizeof *a));
    ck_assert(!memcmp(slice_tokens(&t, y, T1, T2)->data, b, B * T2 * D * sizeof *b));
    put_tokens_cpu(y->data, b, B, T2 * D, T * D, D, 1, DTYPE_F32, t.device->stream);
    take_tokens_cpu(b, y->data, B, T2 * D, T * D, D, 1, DTYPE_F32, t.device->stream);
    float *before = random_integers(B * T2 * D, 2, 1000);
    for (int s = 0; s < B; s++)
        for (int i = 0; i < T2 * D; i++) {
            int at = D + i; // of the sequence
            float was = at < T1 * D ? a[s * T1 * D + at] : before[s * T2 * D + at - T1 * D];
            ck_assert(b[s * T2 * D + i] == 2 * before[s * T2 * D + i] + was);
        }
    free(a), free(b), free(before);
    tape_free(&t);
}
END_TEST

static void beyond_the_end(tape *t) {
    slice_tokens(t, tape_tensor(t, 3, (int64_t[]){2, 5, 3}), 3, 3);
}

static void other_width(tape *t) {
    concat_tokens(t, tape_tensor(t, 3, (int64_t[]){2, 5, 3}),
                  tape_tensor(t, 3, (int64_t[]){2, 5, 4}));
}

START_TEST(tokens_wrong_shape) {
    expect_death(beyond_the_end, "slice_tokens: 3 tokens from 3 on, of 5");
    expect_death(other_width, "concat_tokens b: has shape (2, 5, 4), expected (2, -1, 3)");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tokens");
    TCase *tests = tcase_create("tokens");
    tcase_add_test(tests, concat_tokens_shapes);
    tcase_add_test(tests, slice_tokens_shapes);
    tcase_add_test(tests, tokens_exact);
    tcase_add_test(tests, tokens_wrong_shape);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
