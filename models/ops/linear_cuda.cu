// Products are cuBLASLt's. It adds a bias where it has an algorithm for one that is wider than the result, and
// our own kernel elsewhere. Where a bias's gradient is to be added, or is wanted alone, it is a sum of columns of
// our own: the library's only writes.
#include "models/ops/columns_cuda.cuh"
extern "C" {
#include "core/cuda/cublas.h"
}

static cublas_product forward_product(int64_t M, int64_t N, int64_t K, bool bias, dtype type) {
    return {M, N, K, 0, 1, 0, type, type, bias ? CUBLAS_BIAS : CUBLAS_PLAIN, DTYPE_F32, 0, 0};
}

static cublas_product input_product(int64_t M, int64_t N, int64_t K, int acc, dtype type) {
    return {M, K, N, 0, 0, acc, type, type, CUBLAS_PLAIN, DTYPE_F32, 0, 0};
}

// dweight (N, K) f32 = dout^T inp; the bias's gradient is the sum over M of dout^T's rows.
static cublas_product weight_product(int64_t M, int64_t N, int64_t K, int acc, bool bias, dtype type) {
    return {N, K, M, 1, 0, acc, type, DTYPE_F32, bias ? CUBLAS_BIAS_GRADIENT : CUBLAS_PLAIN, DTYPE_F32, 0, 0};
}

size_t linear_scratch_cuda(int64_t M, int64_t N, int64_t K, dtype type, stream *s) {
    const cublas_product products[] = {
        forward_product(M, N, K, false, type),   forward_product(M, N, K, true, type),
        input_product(M, N, K, 0, type),         input_product(M, N, K, 1, type),
        weight_product(M, N, K, 0, false, type), weight_product(M, N, K, 1, false, type),
        weight_product(M, N, K, 0, true, type),  weight_product(M, N, K, 1, true, type)};
    for (const cublas_product &z : products) cublas_product_takes(&z, s);
    return 0; // the library's workspace is the stream's
}

void linear_forward_cuda(void *out, const void *inp, const void *weight, const void *bias, int64_t M, int64_t N,
                         int64_t K, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    (void)scratch;
    cublas_product z = forward_product(M, N, K, bias, type);
    const bool together = bias && cublas_product_takes(&z, s);
    if (!together) z = forward_product(M, N, K, false, type);
    cublas_product_run(out, inp, weight, together ? (void *)(uintptr_t)bias : NULL, NULL, &z, s);
    if (bias && !together) FOR_TYPE("linear", type, add_bias, "linear_forward", out, bias, M, N, s);
}

void linear_backward_input_cuda(void *dinp, const void *dout, const void *weight, int64_t M, int64_t N, int64_t K,
                                int acc, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    (void)scratch;
    const cublas_product z = input_product(M, N, K, acc, type);
    cublas_product_run(dinp, dout, weight, NULL, NULL, &z, s);
}

template <class T>
static void bias_gradient(float *dbias, const void *dout, int64_t M, int64_t N, int acc, stream *s) {
    sum_columns("linear_backward_weight", dbias, (const T *)dout, M, N, N, acc, s);
}

void linear_backward_weight_cuda(void *dweight, void *dbias, const void *dout, const void *inp, int64_t M,
                                 int64_t N, int64_t K, int acc_weight, int acc_bias, dtype type, void *scratch,
                                 stream *s) {
    KERNEL_BEGIN(s);
    (void)scratch;
    cublas_product z = weight_product(M, N, K, acc_weight, true, type);
    const bool together = dweight && dbias && !acc_bias && cublas_product_takes(&z, s);
    if (dweight) {
        z = weight_product(M, N, K, acc_weight, together, type);
        cublas_product_run(dweight, dout, inp, together ? dbias : NULL, NULL, &z, s);
    }
    if (dbias && !together) FOR_TYPE("linear", type, bias_gradient, (float *)dbias, dout, M, N, acc_bias, s);
}
