#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

enum { CHANNELS = 64 }; // summed at once by one thread

static void mean_of(float *y, const float *x, int64_t T, int64_t stride, int64_t n) {
    double sum[CHANNELS] = {0};
    for (int64_t t = 0; t < T; t++)
        for (int64_t c = 0; c < n; c++) sum[c] += (double)x[t * stride + c];
    for (int64_t c = 0; c < n; c++) y[c] = (float)(sum[c] / (double)T);
}

void mean_tokens_forward_cpu(void *out, const void *inp, int64_t B, int64_t T, int64_t C,
                             dtype type, stream *s) {
    cpu_expect_f32("mean_tokens", type);
    (void)s;
    float *y = out;
    const float *x = inp;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t c = 0; c < C; c += CHANNELS)
            mean_of(y + b * C + c, x + b * T * C + c, T, C, C - c < CHANNELS ? C - c : CHANNELS);
}

void mean_tokens_backward_cpu(void *dinp, const void *dout, int64_t B, int64_t T, int64_t C,
                              int acc, dtype type, stream *s) {
    cpu_expect_f32("mean_tokens", type);
    (void)s;
    float *dx = dinp, share = 1 / (float)T;
    const float *dy = dout;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++) {
            float *to = dx + (b * T + t) * C;
#pragma omp simd
            for (int64_t c = 0; c < C; c++) to[c] = dy[b * C + c] * share + (acc ? to[c] : 0);
        }
}
