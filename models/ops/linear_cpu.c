#include "core/onednn.h"
#include "models/ops/column_sums_cpu.h"
#include "models/ops/few_rows_cpu.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

static onednn_product forward_product(int64_t M, int64_t N, int64_t K, dtype type) {
    return (onednn_product){.M = M, .N = N, .K = K, .transposed = true, .type = type};
}

static onednn_product backward_product(int64_t M, int64_t N, int64_t K, dtype type) {
    return (onednn_product){.M = M, .N = K, .K = N, .transposed = false, .type = type};
}

// In bf16 the weight's gradient is that of a convolution of one row of M pixels.
static onednn_conv row_of_pixels(int64_t M, int64_t N, int64_t K, dtype type) {
    return (onednn_conv){.B = 1, .H = 1, .W = M, .C = K, .O = N, .OH = 1, .OW = M, .K = 1,
                         .stride = 1, .type = type};
}

size_t linear_scratch_cpu(int64_t M, int64_t N, int64_t K, dtype type, stream *s) {
    cpu_expect("linear", type);
    onednn_product forward = forward_product(M, N, K, type);
    onednn_product backward = backward_product(M, N, K, type);
    size_t there = onednn_matmul_scratch(&forward, s), back = onednn_matmul_scratch(&backward, s);
    size_t most = there > back ? there : back;
    if (type == DTYPE_F32) return most;
    onednn_conv row = row_of_pixels(M, N, K, type);
    const size_t others[] = {onednn_conv_weight_scratch(&row, s), few_rows_scratch(M, K)};
    for (int i = 0; i < 2; i++)
        if (others[i] > most) most = others[i];
    return most;
}

void linear_forward_cpu(void *out, const void *inp, const void *weight, const void *bias, int64_t M,
                        int64_t N, int64_t K, dtype type, void *scratch, stream *s) {
    cpu_expect("linear", type);
    onednn_product z = forward_product(M, N, K, type);
    if (few_rows_take(M, N, K, type))
        few_rows_linear(out, inp, weight, bias, M, N, K, type, scratch);
    else
        onednn_matmul(out, inp, weight, bias, &z, 0, scratch, s);
}

void linear_backward_input_cpu(void *dinp, const void *dout, const void *weight, int64_t M,
                               int64_t N, int64_t K, int acc, dtype type, void *scratch,
                               stream *s) {
    cpu_expect("linear", type);
    onednn_product z = backward_product(M, N, K, type);
    onednn_matmul(dinp, dout, weight, NULL, &z, acc, scratch, s);
}

void linear_backward_weight_cpu(void *dweight, void *dbias, const void *dout, const void *inp,
                                int64_t M, int64_t N, int64_t K, int acc_weight, int acc_bias,
                                dtype type, void *scratch, stream *s) {
    cpu_expect("linear", type);
    onednn_conv row = row_of_pixels(M, N, K, type);
    if (dweight && type == DTYPE_F32)
        onednn_matmul_transposed(dweight, dout, inp, M, N, K, acc_weight, s);
    else if (dweight)
        onednn_conv_backward_weight(dweight, dout, inp, &row, acc_weight, scratch, s);
    if (dbias) column_sums_cpu(dbias, dout, M, N, N, acc_bias, type);
}
