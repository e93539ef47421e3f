// What cuBLASLt and cuDNN compute through core/cuda/{cublas,cudnn}.h, against plain loops in
// double: all types, all epilogues, the same bits twice. Needs a GPU; says so where there is none.
// Fused convolutions and attention: tests/cuda/test_cuda_fused.c. Which graphs exist:
// tests/cuda/test_cudnn_graphs.c.
#include "core/cuda/cublas.h"
#include "core/cuda/cudnn.h"
#include "tests/cuda/helper_numbers.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- products ------------------------------------------------------------------------------------
typedef struct product_case {
    cublas_product z;
    numbers out, a, b, side, side2;
} product_case;

static void product_act(void *context) {
    const product_case *c = context;
    cublas_product_run(c->out.data, c->a.data, c->b.data, c->side.data, c->side2.data, &c->z,
                       gpu->stream);
}

// GELU in its tanh form and its derivative (Hendrycks and Gimpel 2016).
static double gelu(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x) {
    const double t = tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

static double element_a(const product_case *c, int64_t m, int64_t k) {
    return c->a.host[c->z.a_transposed ? k * c->z.M + m : m * c->z.K + k];
}

static double element_b(const product_case *c, int64_t k, int64_t n) {
    return c->b.host[c->z.b_transposed ? n * c->z.K + k : k * c->z.N + n];
}

static void product_reference(product_case *c) {
    const cublas_product *z = &c->z;
    for (int64_t m = 0; m < z->M; m++) {
        for (int64_t n = 0; n < z->N; n++) {
            const int64_t i = m * z->N + n;
            double sum = z->acc ? c->out.host[i] : 0;
            for (int64_t k = 0; k < z->K; k++) sum += element_a(c, m, k) * element_b(c, k, n);
            if (z->epilogue == CUBLAS_BIAS || z->epilogue == CUBLAS_BIAS_GELU)
                sum += c->side.host[n];
            if (z->epilogue == CUBLAS_BIAS_GELU) c->side2.host[i] = sum;
            if (z->epilogue == CUBLAS_BIAS_GELU) sum = gelu(sum);
            if (z->epilogue == CUBLAS_GELU_GRADIENT) sum *= gelu_slope(c->side2.host[i]);
            c->out.host[i] = sum;
        }
        for (int64_t k = 0; k < z->K && z->epilogue == CUBLAS_BIAS_GRADIENT; k++)
            c->side.host[m] += element_a(c, m, k);
    }
}

static product_case product_make(const cublas_product *z) {
    product_case c = {.z = *z};
    const dtype out = (dtype)z->out_type, side = (dtype)z->side_type;
    c.a = numbers_random(gpu, z->M * z->K, (dtype)z->type, 1);
    c.b = numbers_random(gpu, z->K * z->N, (dtype)z->type, 2);
    c.out = z->acc ? numbers_random(gpu, z->M * z->N, out, 3)
                   : numbers_unwritten(gpu, z->M * z->N, out);
    if (z->epilogue == CUBLAS_BIAS || z->epilogue == CUBLAS_BIAS_GELU)
        c.side = numbers_random(gpu, z->N, side, 4);
    if (z->epilogue == CUBLAS_BIAS_GRADIENT) c.side = numbers_unwritten(gpu, z->M, side);
    if (z->epilogue == CUBLAS_GELU_GRADIENT) c.side2 = numbers_random(gpu, z->M * z->N, out, 5);
    if (z->epilogue == CUBLAS_BIAS_GELU) c.side2 = numbers_unwritten(gpu, z->M * z->N, out);
    return c;
}

static void product_free(product_case *c) {
    numbers *part[] = {&c->out, &c->a, &c->b, &c->side, &c->side2};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (part[i]->data) numbers_free(gpu, part[i]);
}

static void expect_product(const cublas_product *z, double tolerance) {
    char what[160];
    product_case c = product_make(z);
    snprintf(what, sizeof what,
             "(%lld, %lld) by (%lld, %lld), turned %lld %lld, acc %lld, %s to %s, epilogue %lld",
             (long long)z->M, (long long)z->K, (long long)z->K, (long long)z->N,
             (long long)z->a_transposed, (long long)z->b_transposed, (long long)z->acc,
             dtype_name((dtype)z->type), dtype_name((dtype)z->out_type), (long long)z->epilogue);
    product_reference(&c);
    // GELU's tanh may be the hardware's, of 11 bits.
    if (z->epilogue == CUBLAS_BIAS_GELU || z->epilogue == CUBLAS_GELU_GRADIENT) tolerance += 1e-3;
    if (z->acc)
        product_act(&c);
    else
        expect_same_twice(product_act, &c, &c.out, what);
    numbers_expect(gpu, &c.out, tolerance, what);
    if (z->epilogue == CUBLAS_BIAS_GRADIENT) numbers_expect(gpu, &c.side, tolerance, what);
    if (z->epilogue == CUBLAS_BIAS_GELU) numbers_expect(gpu, &c.side2, tolerance, what);
    product_free(&c);
}

static const int64_t sizes[][3] = {
    {1, 1, 1}, {37, 53, 71}, {64, 128, 96}, {1, 4096, 512}, {256, 64, 8192}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void expect_products(double f32_tolerance) {
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < 16 * SIZES && !is_missing(types[t]); i++) {
            const int64_t *n = sizes[i / 16];
            cublas_product z = {n[0],       n[1],     n[2],     i & 1,        i >> 1 & 1,
                                i >> 2 & 1, types[t], types[t], CUBLAS_PLAIN, DTYPE_F32,
                                0,          0};
            if (i >> 3 & 1) z.out_type = DTYPE_F32;
            const bool f32 = types[t] == DTYPE_F32;
            expect_product(&z, f32 ? f32_tolerance : numbers_tolerance((dtype)z.out_type));
        }
    }
}

START_TEST(products) {
    open_gpu(false);
    expect_products(numbers_tolerance(DTYPE_F32));
    close_gpu();
}
END_TEST

START_TEST(products_tf32) {
    open_gpu(true);
    expect_products(1e-3);
    close_gpu();
}
END_TEST

// Those that the library takes; what it documents must be among them.
START_TEST(epilogues) {
    open_gpu(false);
    for (int t = 0; t < 3; t++) {
        for (int e = CUBLAS_BIAS; e <= CUBLAS_BIAS_GRADIENT && !is_missing(types[t]); e++) {
            const int64_t *n = sizes[2];
            cublas_product z = {n[0],     n[1], n[2],    e == CUBLAS_BIAS_GRADIENT, 0, 0, types[t],
                                types[t], e,    types[t], 0, 0};
            bool taken = cublas_product_takes(&z, gpu->stream);
            printf("epilogue %d in %s: %s\n", e, dtype_name(types[t]), taken ? "taken" : "refused");
            ck_assert(taken || types[t] == DTYPE_F32);
            if (taken) expect_product(&z, numbers_tolerance(types[t]));
            z.side_type = DTYPE_F32;
            if (e == CUBLAS_BIAS_GRADIENT) z.out_type = DTYPE_F32;
            taken = cublas_product_takes(&z, gpu->stream);
            printf("epilogue %d in %s to %s beside f32: %s\n", e, dtype_name(types[t]),
                   dtype_name((dtype)z.out_type), taken ? "taken" : "refused");
            if (taken) expect_product(&z, numbers_tolerance((dtype)z.out_type));
        }
    }
    close_gpu();
}
END_TEST

START_TEST(product_without_terms) {
    open_gpu(false);
    numbers out = numbers_unwritten(gpu, 6, DTYPE_F32), side = numbers_unwritten(gpu, 2, DTYPE_F32);
    const cublas_product z = {
        .M = 2, .N = 3, .type = DTYPE_F32, .out_type = DTYPE_F32, .epilogue = CUBLAS_BIAS_GRADIENT};
    cublas_product_run(out.data, NULL, NULL, side.data, NULL, &z, gpu->stream);
    float *first = numbers_bytes(gpu, &out), *second = numbers_bytes(gpu, &side);
    for (int i = 0; i < 6; i++) ck_assert(first[i] == 0 && second[i % 2] == 0);
    mem_free(first);
    mem_free(second);
    numbers_free(gpu, &out);
    numbers_free(gpu, &side);
    close_gpu();
}
END_TEST

// --- convolutions --------------------------------------------------------------------------------
typedef struct conv_case {
    cudnn_conv z;
    numbers image, weight, out;       // given
    numbers dimage, dweight, forward; // computed
    void *scratch;
} conv_case;

static void conv_act(void *context) {
    const conv_case *c = context;
    cudnn_conv_forward(c->forward.data, c->image.data, c->weight.data, &c->z, c->scratch,
                       gpu->stream);
    cudnn_conv_backward_input(c->dimage.data, c->out.data, c->weight.data, &c->z, c->scratch,
                              gpu->stream);
    cudnn_conv_backward_weight(c->dweight.data, c->out.data, c->image.data, &c->z, c->scratch,
                               gpu->stream);
}

// One output pixel's part in all three passes.
static void conv_pixel(conv_case *c, int64_t b, int64_t y, int64_t x) {
    const cudnn_conv *z = &c->z;
    for (int64_t o = 0; o < z->O; o++) {
        const int64_t at = ((b * z->OH + y) * z->OW + x) * z->O + o;
        for (int64_t tap = 0; tap < z->K * z->K; tap++) {
            const int64_t h = y * z->stride - z->pad + tap / z->K,
                          w = x * z->stride - z->pad + tap % z->K;
            if (h < 0 || h >= z->H || w < 0 || w >= z->W) continue;
            const int64_t from = ((b * z->H + h) * z->W + w) * z->C,
                          in = (o * z->K * z->K + tap) * z->C;
            for (int64_t i = 0; i < z->C; i++) {
                c->forward.host[at] += c->image.host[from + i] * c->weight.host[in + i];
                c->dimage.host[from + i] += c->out.host[at] * c->weight.host[in + i];
                c->dweight.host[in + i] += c->out.host[at] * c->image.host[from + i];
            }
        }
    }
}

static void expect_conv(const cudnn_conv *z, double tolerance) {
    char what[128];
    const dtype type = (dtype)z->type;
    const int64_t pixels = z->B * z->OH * z->OW, images = z->B * z->H * z->W * z->C;
    const int64_t weights = z->O * z->K * z->K * z->C;
    conv_case c = {.z = *z,
                   .image = numbers_random(gpu, images, type, 1),
                   .weight = numbers_random(gpu, weights, type, 2),
                   .out = numbers_random(gpu, pixels * z->O, type, 3),
                   .dimage = numbers_unwritten(gpu, images, type),
                   .dweight = numbers_unwritten(gpu, weights, type),
                   .forward = numbers_unwritten(gpu, pixels * z->O, type)};
    size_t bytes = cudnn_conv_scratch(z, gpu->stream);
    ck_assert_int_eq(gpu->take(gpu, bytes, "scratch", &c.scratch), STATUS_OK);
    for (int64_t i = 0; i < pixels; i++)
        conv_pixel(&c, i / (z->OH * z->OW), i / z->OW % z->OH, i % z->OW);
    snprintf(what, sizeof what, "%lld to %lld channels, window %lld, stride %lld, %s",
             (long long)z->C, (long long)z->O, (long long)z->K, (long long)z->stride,
             dtype_name(type));
    const numbers *result[] = {&c.forward, &c.dimage, &c.dweight};
    for (int i = 0; i < 3; i++) {
        expect_same_twice(conv_act, &c, result[i], what);
        numbers_expect(gpu, result[i], tolerance, what);
    }
    numbers *all[] = {&c.image, &c.weight, &c.out, &c.dimage, &c.dweight, &c.forward};
    for (int i = 0; i < 6; i++) numbers_free(gpu, all[i]);
    gpu->release(gpu, c.scratch);
}

static const cudnn_conv conv_sizes[] = {
    {2, 9, 11, 16, 24, 9, 11, 1, 1, 0, 0},   {2, 9, 11, 16, 24, 5, 6, 3, 2, 1, 0},
    {3, 14, 14, 64, 64, 14, 14, 3, 1, 1, 0}, {2, 30, 30, 8, 16, 15, 15, 7, 2, 3, 0},
    {1, 7, 7, 128, 256, 4, 4, 1, 2, 0, 0},
};

static void expect_convolutions(double f32_tolerance) {
    for (int t = 0; t < 3; t++) {
        for (size_t i = 0; i < sizeof conv_sizes / sizeof *conv_sizes && !is_missing(types[t]);
             i++) {
            cudnn_conv z = conv_sizes[i];
            z.type = types[t];
            expect_conv(&z, types[t] == DTYPE_F32 ? f32_tolerance : numbers_tolerance(types[t]));
        }
    }
}

START_TEST(convolutions) {
    open_gpu(false);
    expect_convolutions(2e-5); // Winograd's engines lose a digit
    close_gpu();
}
END_TEST

START_TEST(convolutions_tf32) {
    open_gpu(true);
    expect_convolutions(1e-3);
    close_gpu();
}
END_TEST

int main(void) {
    const TTest *const tests[] = {products,     products_tf32,    epilogues, product_without_terms,
                                  convolutions, convolutions_tf32};
    return run_on_gpu("cuda_libraries", tests, sizeof tests / sizeof *tests);
}
