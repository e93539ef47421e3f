#include "core/onednn.h"
#include "models/ops/column_sums_cpu.h"
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

static onednn_product forward_product(int64_t M, int64_t N, int64_t K) {
    return (onednn_product){.M = M, .N = N, .K = K, .transposed = true};
}

static onednn_product backward_product(int64_t M, int64_t N, int64_t K) {
    return (onednn_product){.M = M, .N = K, .K = N, .transposed = false};
}

size_t linear_scratch_cpu(int64_t M, int64_t N, int64_t K, dtype type, stream *s) {
    cpu_expect_f32("linear", type);
    onednn_product forward = forward_product(M, N, K), backward = backward_product(M, N, K);
    size_t there = onednn_matmul_scratch(&forward, s), back = onednn_matmul_scratch(&backward, s);
    return there > back ? there : back;
}

void linear_forward_cpu(void *out, const void *inp, const void *weight, const void *bias, int64_t M,
                        int64_t N, int64_t K, dtype type, void *scratch, stream *s) {
    cpu_expect_f32("linear", type);
    onednn_product z = forward_product(M, N, K);
    onednn_matmul(out, inp, weight, bias, &z, 0, scratch, s);
}

void linear_backward_input_cpu(void *dinp, const void *dout, const void *weight, int64_t M,
                               int64_t N, int64_t K, int acc, dtype type, void *scratch,
                               stream *s) {
    cpu_expect_f32("linear", type);
    onednn_product z = backward_product(M, N, K);
    onednn_matmul(dinp, dout, weight, NULL, &z, acc, scratch, s);
}

void linear_backward_weight_cpu(void *dweight, void *dbias, const void *dout, const void *inp,
                                int64_t M, int64_t N, int64_t K, int acc_weight, int acc_bias,
                                dtype type, void *scratch, stream *s) {
    cpu_expect_f32("linear", type);
    (void)scratch;
    if (dweight) onednn_matmul_transposed(dweight, dout, inp, M, N, K, acc_weight, s);
    if (dbias) column_sums_cpu(dbias, dout, M, N, acc_bias);
}
