// Plain numbers are those that the definition gives in f32 (models/nn/quantise.c); all else is in
// double.
#include "core/e4m3.h"
#include "tests/oracle/oracle.h"

#include <math.h>

static double number(const quantised *q, int64_t n, int64_t k, int64_t K) {
    const int64_t at = n * K + k, block = at / NF4_BLOCK;
    if (q->how == QUANT_FP8) return (double)(e4m3_value(((const uint8_t *)q->codes)[at]) * q->scale[n]);
    if (q->how == QUANT_INT8) return (double)((float)((const int8_t *)q->codes)[at] * q->scale[n]);
    const uint8_t pair = ((const uint8_t *)q->codes)[at / 2];
    const float size = q->table[16 + q->sizes[block]] * q->scale[block / NF4_SIZES] + q->offset;
    return (double)(q->table[at % 2 ? pair & 15 : pair >> 4] * size);
}

static void make_plain(double *out, const quantised *q, int64_t N, int64_t K) {
    for (int64_t i = 0; i < N * K; i++) out[i] = number(q, i / K, i % K, K);
}

// To E4M3: seven steps between powers of two, steps of 2^-9 near zero.
static double nearest(double x) {
    int exponent;
    frexp(x, &exponent);
    const double step = exp2(exponent - 4 < -9 ? -9 : exponent - 4), y = rint(x / step) * step;
    return fabs(y) > 448 ? copysign(448, y) : y;
}

// x (M, C) by rows, as it is meant where the weight is FP8; its columns count WEIGH (C) times as much.
static double *rounded(double *out, const double *x, const float *weigh, int64_t M, int64_t C) {
    for (int64_t m = 0; m < M; m++) {
        double most = 0;
        for (int64_t c = 0; c < C; c++) most = fmax(most, fabs(x[m * C + c] * (weigh ? (double)weigh[c] : 1)));
        const double scale = most > 0 ? exp2(ceil(log2(most / 448))) : 1;
        for (int64_t c = 0; c < C; c++) {
            const double unit = scale / (weigh ? (double)weigh[c] : 1);
            out[m * C + c] = nearest(x[m * C + c] / unit) * unit;
        }
    }
    return out;
}

size_t linear_quantised_scratch_oracle(const quantised *q, int64_t M, int64_t N, int64_t K,
                                       dtype type, stream *s) {
    (void)q, (void)type, (void)s;
    return (size_t)(N * K + M * (N > K ? N : K)) * sizeof(double);
}

void linear_quantised_forward_oracle(void *out, const void *inp, const quantised *q,
                                     const void *bias, int64_t M, int64_t N, int64_t K, dtype type,
                                     void *scratch, stream *s) {
    make_plain(scratch, q, N, K);
    if (q->how == QUANT_FP8) inp = rounded((double *)scratch + N * K, inp, NULL, M, K);
    linear_forward_oracle(out, inp, scratch, bias, M, N, K, type, NULL, s);
}

void linear_quantised_backward_input_oracle(void *dinp, const void *dout, const quantised *q,
                                            int64_t M, int64_t N, int64_t K, int acc, dtype type,
                                            void *scratch, stream *s) {
    make_plain(scratch, q, N, K);
    if (q->how == QUANT_FP8) dout = rounded((double *)scratch + N * K, dout, q->scale, M, N);
    linear_backward_input_oracle(dinp, dout, scratch, M, N, K, acc, type, NULL, s);
}
