// Plain numbers are those that the definition gives in f32 (models/nn/quantise.c); all else is in
// double.
#include "tests/oracle/oracle.h"

static double number(const quantised *q, int64_t n, int64_t k, int64_t K) {
    const int64_t at = n * K + k, block = at / NF4_BLOCK;
    if (q->how == QUANT_INT8) return (double)((float)((const int8_t *)q->codes)[at] * q->scale[n]);
    const uint8_t pair = ((const uint8_t *)q->codes)[at / 2];
    const float size = q->table[16 + q->sizes[block]] * q->scale[block / NF4_SIZES] + q->offset;
    return (double)(q->table[at % 2 ? pair & 15 : pair >> 4] * size);
}

static void make_plain(double *out, const quantised *q, int64_t N, int64_t K) {
    for (int64_t i = 0; i < N * K; i++) out[i] = number(q, i / K, i % K, K);
}

size_t linear_quantised_scratch_oracle(const quantised *q, int64_t M, int64_t N, int64_t K,
                                       dtype type, stream *s) {
    (void)q, (void)M, (void)type, (void)s;
    return (size_t)(N * K) * sizeof(double);
}

void linear_quantised_forward_oracle(void *out, const void *inp, const quantised *q,
                                     const void *bias, int64_t M, int64_t N, int64_t K, dtype type,
                                     void *scratch, stream *s) {
    make_plain(scratch, q, N, K);
    linear_forward_oracle(out, inp, scratch, bias, M, N, K, type, NULL, s);
}

void linear_quantised_backward_input_oracle(void *dinp, const void *dout, const quantised *q,
                                            int64_t M, int64_t N, int64_t K, int acc, dtype type,
                                            void *scratch, stream *s) {
    make_plain(scratch, q, N, K);
    linear_backward_input_oracle(dinp, dout, scratch, M, N, K, acc, type, NULL, s);
}
