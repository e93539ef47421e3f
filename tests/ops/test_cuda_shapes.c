// Shapes at which the CUDA kernels take other ways than at the small ones of the ops' own tests: several tiles,
// several packs to a thread, blocks of rows, widths of the models. All through op_check, on the host shim too.
#include "tests/ops/helper_op_check.h"

#include <math.h>
#include <stdlib.h>

static tensor *run_attention(tape *t, tensor **in, const void *context) {
    return attention(t, in[0], in[1], in[2], *(const double *)context);
}

// Each of the three widths of heads, whole packs and not, one tile and several; with and without dropout.
START_TEST(attention_tiles) {
    static const int64_t dims[][5] = {// B, TQ, TK, H, D
                                      {1, 70, 40, 2, 32}, {2, 33, 65, 1, 64}, {1, 66, 36, 1, 57},
                                      {1, 35, 20, 1, 128}, {1, 18, 37, 2, 101}, {1, 5, 96, 3, 24}};
    static const double rates[] = {0, 0.25};
    const int64_t *d = dims[_i / 2];
    op_case c = {.op = "attention", .inputs = 3, .run = run_attention, .context = &rates[_i % 2],
                 .training = true, .tolerance = 1e-5};
    for (int i = 0; i < 3; i++)
        c.input[i] = (op_input){.rank = 4, .dim = {d[0], i ? d[2] : d[1], d[3], d[4]}, .gradient = true};
    op_check(&c);
}
END_TEST

static tensor *run_norm(tape *t, tensor **in, const void *context) {
    (void)context;
    return layer_norm(t, in[0], in[1], in[2], 1e-5);
}

// Groups of 32 to 256 threads and up to 8 packs in each of them; rows that fill no group of rows.
START_TEST(layer_norm_widths) {
    static const int64_t dims[][2] = {{300, 40}, {37, 256}, {21, 768}, {9, 2304}, {5, 4096}, {3, 8192},
                                      {6, 301},  {4, 1999}, {2, 2047}};
    const int64_t *d = dims[_i];
    op_check(&(op_case){.op = "layer_norm",
                        .input = {{.rank = 2, .dim = {d[0], d[1]}, .gradient = true},
                                  {.rank = 1, .dim = {d[1]}, .gradient = true, .low = 0.5, .high = 1.5},
                                  {.rank = 1, .dim = {d[1]}, .gradient = true}},
                        .inputs = 3,
                        .run = run_norm,
                        .tolerance = 1e-5});
}
END_TEST

typedef struct norm_case {
    int64_t rows, C;
    bool relu;
} norm_case;

static tensor *run_batch_norm(tape *t, tensor **in, const void *context) {
    const norm_case *c = context;
    return batch_norm(t, in[0],
                      (batch_norm_args){.weight = in[1],
                                        .bias = in[2],
                                        .running_mean = in[3],
                                        .running_var = in[4],
                                        .residual = in[5],
                                        .eps = 1e-5,
                                        .momentum = 0.1,
                                        .batch = true,
                                        .relu = c->relu});
}

// Whole packs of channels, as all models have: narrow, a warp wide, wider than a block.
START_TEST(batch_norm_packs) {
    static const norm_case cases[] = {{1003, 8, false}, {517, 64, false}, {70, 520, false}};
    const norm_case *c = &cases[_i];
    op_case k = {.op = "batch_norm", .run = run_batch_norm, .context = c, .inputs = 6};
    for (int i = 0; i < 6; i++)
        k.input[i] = i == 0 || i == 5 ? (op_input){.rank = 2, .dim = {c->rows, c->C}, .gradient = true}
                                      : (op_input){.rank = 1, .dim = {c->C}, .gradient = i < 3};
    k.input[1].low = k.input[4].low = 0.5;
    k.input[1].high = k.input[4].high = 2;
    op_check(&k);
}
END_TEST

typedef struct conv_case {
    int64_t B, H, W, C, O, K;
    int stride, pad;
} conv_case;

static tensor *run_conv(tape *t, tensor **in, const void *context) {
    const conv_case *c = context;
    return conv2d(t, in[0], in[1], in[2], c->stride, c->pad);
}

// The library's ways, the product of our own over several tiles, and sums over several parts of the pixels.
START_TEST(conv2d_ways) {
    static const conv_case cases[] = {{2, 6, 5, 8, 16, 3, 2, 1}, {1, 5, 6, 16, 8, 1, 1, 0}, {1, 9, 11, 3, 70, 3, 1, 1},
                                      {3, 64, 62, 1, 3, 7, 2, 3}};
    const conv_case *c = &cases[_i];
    op_check(&(op_case){.op = "conv2d",
                        .input = {{.rank = 4, .dim = {c->B, c->H, c->W, c->C}, .gradient = true},
                                  {.rank = 4, .dim = {c->O, c->K, c->K, c->C}, .gradient = true, .weight = true},
                                  {.rank = 1, .dim = {c->O}, .gradient = true}},
                        .inputs = 3,
                        .run = run_conv,
                        .context = c});
}
END_TEST

static tensor *run_max(tape *t, tensor **in, const void *context) {
    (void)context;
    return max_pool2d(t, in[0], 3, 2, 1);
}

static tensor *run_mean(tape *t, tensor **in, const void *context) {
    (void)context;
    return mean_tokens(t, in[0]);
}

static tensor *run_concat(tape *t, tensor **in, const void *context) {
    (void)context;
    return concat_vector(t, in[0], in[1]);
}

static tensor *run_drop(tape *t, tensor **in, const void *context) {
    return dropout(t, in[0], *(const double *)context);
}

static tensor *run_gelu(tape *t, tensor **in, const void *context) {
    (void)context;
    return gelu(t, in[0]);
}

// Packs in the kernels that go by elements, and what is left behind the last pack.
START_TEST(packs_of_elements) {
    static const double rate = 0.3;
    op_check(&(op_case){.op = "max_pool2d",
                        .input = {{.rank = 4, .dim = {2, 7, 6, 16}, .gradient = true}},
                        .inputs = 1,
                        .run = run_max});
    op_check(&(op_case){.op = "mean_tokens",
                        .input = {{.rank = 3, .dim = {2, 21, 16}, .gradient = true}},
                        .inputs = 1,
                        .run = run_mean});
    op_check(&(op_case){.op = "concat_vector",
                        .input = {{.rank = 2, .dim = {37, 16}, .gradient = true},
                                  {.rank = 1, .dim = {24}, .gradient = true}},
                        .inputs = 2,
                        .run = run_concat});
    op_check(&(op_case){.op = "dropout",
                        .input = {{.rank = 2, .dim = {3, 48}, .gradient = true}},
                        .inputs = 1,
                        .run = run_drop,
                        .context = &rate,
                        .training = true});
    op_check(&(op_case){.op = "gelu",
                        .input = {{.rank = 2, .dim = {17, 59}, .gradient = true}},
                        .inputs = 1,
                        .run = run_gelu});
}
END_TEST

// No op_check goes through it, as bytes have no gradient: bit by bit against the table, in all three types, packs
// and single bytes, pixels that take more than one block; nothing behind the output is written.
START_TEST(image_from_bytes_equals_its_table) {
    enum { B = 2, MOST = 33001 };
    static const int64_t pixels[] = {1, 8, 61, 4096, MOST, 33000};
    static uint8_t bytes[B * MOST];
    static uint64_t out[B * MOST + 1]; // room for any type, aligned
    static float lut[B * 256];
    for (int64_t i = 0; i < B * MOST; i++) bytes[i] = (uint8_t)(i * 7 + i / 251);
    for (int i = 0; i < B * 256; i++) lut[i] = (float)i / 511 - 0.3f;
    for (int which = ON_SHIM; which <= ON_SHIM_F16; which++)
        for (size_t k = 0; k < sizeof pixels / sizeof *pixels; k++) {
            device *d = test_device(which);
            int64_t n = pixels[k];
            element_put(out, B * n, 77, d->type);
            d->ops->image_from_bytes(out, bytes, lut, B, n, d->type, d->stream);
            for (int64_t i = 0; i < B * n; i++) {
                uint64_t expected = 0;
                element_put(&expected, 0, (double)lut[i / n * 256 + bytes[i]], d->type);
                ck_assert(element_get(out, i, d->type) == element_get(&expected, 0, d->type));
            }
            ck_assert(element_get(out, B * n, d->type) == 77);
        }
}
END_TEST

// More rows than the second and third sides of a grid have blocks for, at four rows to a block.
START_TEST(lora_on_many_rows) {
    enum { N = 4 * 65535 + 5 };
    device *d = test_device(ON_SHIM);
    const float one[] = {1}, b[] = {3};
    float *out = malloc(N * sizeof *out), *mid = malloc(N * sizeof *mid);
    for (int i = 0; i < N; i++) out[i] = 1, mid[i] = (float)(i % 1000);
    const lora_shape z = {.part = {{.a = one, .b = b, .r = 1, .n = 1, .scale = 2}}, .parts = 1, .N = N, .K = 1, .O = 1,
                          .R = 1};
    d->ops->lora_up(out, mid, &z, d->type, NULL, d->stream);
    for (int i = 0; i < N; i++) ck_assert(out[i] == 1 + 6 * mid[i]);
    free(mid);
    free(out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cuda_shapes");
    TCase *tests = tcase_create("cuda_shapes");
    tcase_set_timeout(tests, 600);
    tcase_add_loop_test(tests, attention_tiles, 0, 12);
    tcase_add_loop_test(tests, layer_norm_widths, 0, 9);
    tcase_add_loop_test(tests, batch_norm_packs, 0, 3);
    tcase_add_loop_test(tests, conv2d_ways, 0, 4);
    tcase_add_test(tests, packs_of_elements);
    tcase_add_test(tests, image_from_bytes_equals_its_table);
    tcase_add_test(tests, lora_on_many_rows);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
