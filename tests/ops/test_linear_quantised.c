// Linear layers whose weights are in few bits, on all devices: against the oracle, which multiplies
// the numbers that models/nn/quantise.c says are meant.
#include "models/nn/quantise.h"
#include "tests/ops/helper_device.h"
#include "tests/ops/helper_op_check.h"
#include "tests/ops/helper_tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct quantised_case {
    int64_t M, N, K;
    quantisation how;
    int64_t tile;
    bool bias;
    int64_t rank; // of a LoRA over all columns; 0: none
} quantised_case;

static void make(quantise *q, quantisation how, int64_t N, int64_t K) {
    float *values = random_floats(N * K, 11, -1, 1);
    for (int64_t i = 0; i < N * K; i++) values[i] = ldexpf(values[i], -(int)(i / K % 4)); // scales that differ
    ck_assert_int_eq(quantise_open(q, how, N, K), STATUS_OK);
    ck_assert_int_eq(quantise_rows(q, values, 0, N), STATUS_OK);
    quantise_end(q);
    free(values);
}

// A weight in the memory of the device that runs, until the step ends.
static tensor *weight_of(tape *t, const quantised_case *c) {
    quantise q;
    make(&q, c->how, c->N, c->K);
    const int64_t bytes = (int64_t)quantise_bytes(c->how, c->N, c->K);
    tensor *weight = tape_keep(t, sizeof *weight), *block = tape_tensor_of(t, DTYPE_U8, 1, &bytes);
    quantised *u = tape_keep(t, sizeof *u);
    quantise_upload(u, &q, t->device, block->data);
    u->tile = c->tile;
    quantise_close(&q);
    *weight = (tensor){.type = t->device->type, .rank = 2, .dim = {c->N, c->K}, .quantised = u};
    return weight;
}

static tensor *run(tape *t, tensor **in, const void *context) {
    const quantised_case *c = context;
    tensor *weight = weight_of(t, c);
    if (!c->rank) return linear(t, in[0], weight, c->bias ? in[1] : NULL);
    const lora_set l = {.parts = 1, .part = {{in[1], in[2], 0, 2}}};
    return linear_lora(t, in[0], weight, NULL, &l);
}

// Few rows of x and many, whole packs and not, tiles that divide the weight and that do not,
// sections and blocks.
static const quantised_case cases[] = {
    {1, 1, 1, QUANT_INT8, 0, false, 0},   {1, 7, 37, QUANT_INT8, 0, true, 0},
    {12, 9, 40, QUANT_INT8, 0, false, 0}, {16, 12, 1100, QUANT_INT8, 0, true, 0},
    {17, 13, 37, QUANT_INT8, 5, true, 0}, {40, 24, 48, QUANT_INT8, 8, false, 0},
    {1, 1, 64, QUANT_NF4, 0, false, 0},   {5, 6, 128, QUANT_NF4, 0, true, 0},
    {7, 8, 1216, QUANT_NF4, 0, false, 0}, {16, 13, 192, QUANT_NF4, 0, true, 0},
    {21, 13, 64, QUANT_NF4, 5, true, 0},  {33, 24, 128, QUANT_NF4, 0, false, 0},
    {9, 16, 64, QUANT_NF4, 0, false, 4},  {20, 16, 40, QUANT_INT8, 6, false, 8},
    {1, 1, 1, QUANT_FP8, 0, false, 0},    {3, 7, 37, QUANT_FP8, 0, true, 0},
    {16, 12, 1104, QUANT_FP8, 0, true, 0}, {17, 13, 37, QUANT_FP8, 5, true, 0},
    {40, 24, 48, QUANT_FP8, 7, false, 0}, {18, 16, 32, QUANT_FP8, 0, true, 0},
    {37, 80, 144, QUANT_FP8, 0, false, 0}, {20, 32, 48, QUANT_FP8, 0, false, 4},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(quantised_shapes) {
    const quantised_case *c = &cases[_i];
    op_case k = {.op = c->rank ? "linear_lora" : "linear", .run = run, .context = c, .inputs = 1};
    k.steps = c->how == QUANT_FP8;
    k.input[0] = (op_input){.rank = 2, .dim = {c->M, c->K}, .gradient = true};
    if (c->bias) k.input[k.inputs++] = (op_input){.rank = 1, .dim = {c->N}, .gradient = true};
    if (c->rank) {
        k.input[k.inputs++] =
            (op_input){.rank = 2, .dim = {c->rank, c->K}, .gradient = true, .weight = true};
        k.input[k.inputs++] =
            (op_input){.rank = 2, .dim = {c->N, c->rank}, .gradient = true, .weight = true};
    }
    op_check(&k);
}
END_TEST

// The product with the identity is the weight as the kernels make it plain: bit by bit what the host
// says, rounded to the device's type. In tiles of a size that leaves a shorter last one.
START_TEST(plain_equals_the_host) {
    enum { N = 9, K = 128, TILE = 4 };
    static const quantisation hows[] = {QUANT_INT8, QUANT_NF4, QUANT_FP8};
    static double x[K * K], got[K * N];
    static float want[N * K];
    device *d = test_device(_i / 3);
    quantise q;
    quantised u;
    void *block, *scratch;
    make(&q, hows[_i % 3], N, K);
    ck_assert_int_eq(d->take(d, quantise_bytes(hows[_i % 3], N, K), "a test", &block), STATUS_OK);
    quantise_upload(&u, &q, d, block);
    u.tile = TILE;
    quantise_plain(&q, want, 0, N);
    for (int i = 0; i < K * K; i++) element_put(x, i, i % (K + 1) ? 0 : 1, d->type);
    const size_t room = d->ops->linear_quantised_scratch(&u, K, N, K, d->type, d->stream);
    ck_assert_int_eq(d->take(d, room, "a test", &scratch), STATUS_OK);
    void *inp = device_hold(d, x, K * K * dtype_size(d->type));
    void *out = device_hold(d, got, K * N * dtype_size(d->type));
    d->ops->linear_quantised_forward(out, inp, &u, NULL, K, N, K, d->type, scratch, d->stream);
    device_fetch(d, got, out, K * N * dtype_size(d->type));
    for (int i = 0; i < K * N; i++) {
        double expected = 0;
        element_put(&expected, 0, (double)want[i % N * K + i / N], d->type);
        ck_assert(element_get(got, i, d->type) == element_get(&expected, 0, d->type));
    }
    d->release(d, block), d->release(d, scratch), d->release(d, inp);
    quantise_close(&q);
}
END_TEST

// A row's output on the CPU does not depend on how many rows are beside it.
START_TEST(rows_alone) {
    enum { M = 16, N = 12, K = 1216 };
    static const quantisation hows[] = {QUANT_INT8, QUANT_NF4, QUANT_FP8};
    static float all[M * N], one[N];
    device *d = test_device(ON_CPU);
    float *x = random_floats(M * K, 3, -1, 1);
    quantise q;
    quantised u;
    void *block, *scratch;
    make(&q, hows[_i], N, K);
    ck_assert_int_eq(d->take(d, quantise_bytes(hows[_i], N, K), "a test", &block), STATUS_OK);
    quantise_upload(&u, &q, d, block);
    const size_t bytes = linear_quantised_scratch_cpu(&u, M, N, K, DTYPE_F32, d->stream);
    ck_assert_int_eq(d->take(d, bytes, "a test", &scratch), STATUS_OK);
    for (int64_t m = 1; m <= M; m++) {
        linear_quantised_forward_cpu(all, x, &u, NULL, m, N, K, DTYPE_F32, scratch, d->stream);
        linear_quantised_forward_cpu(one, x + (m - 1) * K, &u, NULL, 1, N, K, DTYPE_F32, scratch,
                                     d->stream);
        ck_assert(!memcmp(all + (m - 1) * N, one, sizeof one));
    }
    d->release(d, block), d->release(d, scratch);
    quantise_close(&q);
    free(x);
}
END_TEST

static void training(tape *t) {
    static quantised u;
    gradient g;
    tensor weight = tensor_over(NULL, DTYPE_F32, 2, (int64_t[]){4, 5});
    tensor_want(&weight, &g, NULL);
    weight.quantised = &u;
    linear(t, tape_tensor(t, 2, (int64_t[]){3, 5}), &weight, NULL);
}

START_TEST(quantised_does_not_train) {
    expect_death(training, "linear: a quantised weight cannot train");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("linear_quantised");
    TCase *tests = tcase_create("linear_quantised");
    tcase_set_timeout(tests, 300);
    tcase_add_loop_test(tests, quantised_shapes, 0, CASES);
    tcase_add_loop_test(tests, plain_equals_the_host, 0, 3 * TEST_DEVICES);
    tcase_add_loop_test(tests, rows_alone, 0, 3);
    tcase_add_test(tests, quantised_does_not_train);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
