#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"
#include "tests/oracle/oracle.h"

#include <stdlib.h>

typedef struct linear_case {
    int64_t M, N, K;
    bool bias;
} linear_case;

static const linear_case cases[] = {
    {1, 1, 1, true},       {1, 13, 7, true},     {5, 1, 19, false},  {3, 17, 1, true},
    {12, 64, 48, true},    {101, 37, 53, false}, {2047, 3, 5, true}, // the last with a plain weight
    {2048, 3, 5, true},                                              // the first with a packed one
    {2500, 40, 33, false}, {3, 521, 4, true}, // the last: more sums of a bias than at once
    {1, 8, 64, true},      {4, 12, 160, false},  {5, 4, 96, true}, // a few rows of whole vectors
    {13, 16, 32, false},   {16, 8, 1056, true},  {17, 8, 64, true},
    {2, 5, 64, true},      {3, 15, 32, false},   {6, 7, 96, true}, // and outputs that fill no block
    {2, 3, 64, true},      {25, 16, 64, false},  {32, 9, 96, true},  {33, 5, 64, true},
    {7, 9, 64, true},      {9, 13, 32, false},   {11, 6, 64, true}, {12, 33, 160, true},
};
enum { CASES = sizeof cases / sizeof *cases };

static tensor *run(tape *t, tensor **in, const void *context) {
    const linear_case *c = context;
    return linear(t, in[0], in[1], c->bias ? in[2] : NULL);
}

START_TEST(linear_shapes) {
    const linear_case *c = &cases[_i];
    op_check(&(op_case){
        .op = "linear",
        .input = {{.rank = 2, .dim = {c->M, c->K}, .gradient = true},
                  {.rank = 2, .dim = {c->N, c->K}, .gradient = true, .weight = true},
                  {.rank = 1, .dim = {c->N}, .gradient = true}},
        .inputs = c->bias ? 3 : 2,
        .run = run,
        .context = c,
    });
}
END_TEST

// More dimensions in front, a frozen weight, a frozen input.
START_TEST(linear_ranks) {
    for (int frozen = 0; frozen < 3; frozen++)
        op_check(&(op_case){
            .op = "linear",
            .input = {{.rank = 4, .dim = {2, 3, 2, 5}, .gradient = frozen != 0},
                      {.rank = 2, .dim = {4, 5}, .gradient = frozen != 1, .weight = true},
                      {.rank = 1, .dim = {4}, .gradient = frozen != 2}},
            .inputs = 3,
            .run = run,
            .context = &(linear_case){.bias = true},
        });
}
END_TEST

// Whole numbers whose sums are exact in any order: every bit must be the oracle's.
START_TEST(linear_whole_numbers) {
    const linear_case *c = &cases[_i];
    device *d = test_device(false);
    const int64_t count[] = {c->M * c->K, c->N * c->K, c->N,        c->M * c->N,
                             c->M * c->N, c->M * c->K, c->N * c->K, c->N};
    float *x[8];
    double *e[8];
    void *scratch;
    for (uint32_t i = 0; i < 8; i++) {
        x[i] = random_integers(count[i], i, 8);
        e[i] = to_doubles(x[i], count[i]);
    }
    size_t bytes = linear_scratch_cpu(c->M, c->N, c->K, DTYPE_F32, d->stream);
    ck_assert_int_eq(d->take(d, bytes + 1, "", &scratch), 0);
    linear_forward_cpu(x[4], x[0], x[1], c->bias ? x[2] : NULL, c->M, c->N, c->K, DTYPE_F32,
                       scratch, d->stream);
    linear_backward_input_cpu(x[5], x[3], x[1], c->M, c->N, c->K, 1, DTYPE_F32, scratch, d->stream);
    linear_backward_weight_cpu(x[6], x[7], x[3], x[0], c->M, c->N, c->K, 1, 0, DTYPE_F32, scratch,
                               d->stream);
    ck_assert_int_eq(device_failed(d), STATUS_OK);
    linear_forward_oracle(e[4], e[0], e[1], c->bias ? e[2] : NULL, c->M, c->N, c->K, DTYPE_F64,
                          NULL, NULL);
    linear_backward_input_oracle(e[5], e[3], e[1], c->M, c->N, c->K, 1, DTYPE_F64, NULL, NULL);
    linear_backward_weight_oracle(e[6], e[7], e[3], e[0], c->M, c->N, c->K, 1, 0, DTYPE_F64, NULL,
                                  NULL);
    for (int i = 4; i < 8; i++)
        for (int64_t k = 0; k < count[i]; k++)
            ck_assert_msg((double)x[i][k] == e[i][k], "array %d at %lld: %g, expected %g", i,
                          (long long)k, (double)x[i][k], e[i][k]);
    for (int i = 0; i < 8; i++) {
        free(x[i]);
        free(e[i]);
    }
    d->release(d, scratch);
}
END_TEST

static void other_width(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){2, 3});
    tensor w = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){4, 5});
    linear(t, &x, &w, NULL);
}

static void other_bias(tape *t) {
    tensor x = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){2, 5});
    tensor w = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){4, 5});
    tensor b = tensor_over(NULL, DTYPE_F32, 1, (int64_t[]){5});
    linear(t, &x, &w, &b);
}

START_TEST(linear_wrong_shapes) {
    expect_death(other_width, "linear inp");
    expect_death(other_bias, "linear bias");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("linear");
    TCase *tests = tcase_create("shapes");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, linear_shapes, 0, CASES);
    tcase_add_test(tests, linear_ranks);
    tcase_add_loop_test(tests, linear_whole_numbers, 0, CASES);
    tcase_add_test(tests, linear_wrong_shapes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
