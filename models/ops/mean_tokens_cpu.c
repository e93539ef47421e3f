#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

enum { CHANNELS = 64 }; // summed at once by one thread

// N channels from the ones at TO and FROM on.
static void mean_of(void *out, int64_t to, const void *inp, int64_t from, int64_t T, int64_t stride,
                    int64_t n, dtype type) {
    double sum[CHANNELS] = {0};
    float buffer[CHANNELS];
    for (int64_t t = 0; t < T; t++) {
        const float *x = row_read(buffer, inp, from + t * stride, n, type);
        for (int64_t c = 0; c < n; c++) sum[c] += (double)x[c];
    }
    float *y = row_begin(buffer, out, to, n, 0, type);
    for (int64_t c = 0; c < n; c++) y[c] = (float)(sum[c] / (double)T);
    row_end(out, to, y, n, type);
}

void mean_tokens_forward_cpu(void *out, const void *inp, int64_t B, int64_t T, int64_t C,
                             dtype type, stream *s) {
    cpu_expect("mean_tokens", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t c = 0; c < C; c += CHANNELS)
            mean_of(out, b * C + c, inp, b * T * C + c, T, C, C - c < CHANNELS ? C - c : CHANNELS,
                    type);
}

void mean_tokens_backward_cpu(void *dinp, const void *dout, int64_t B, int64_t T, int64_t C,
                              int acc, dtype type, stream *s) {
    cpu_expect("mean_tokens", type);
    (void)s;
    float share = 1 / (float)T;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t c = 0; c < C; c += ROW) {
                float buffer[2][ROW];
                int64_t n = row_length(c, C), at = (b * T + t) * C + c;
                const float *dy = row_read(buffer[0], dout, b * C + c, n, type);
                float *dx = row_begin(buffer[1], dinp, at, n, acc, type);
#pragma omp simd
                for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * share + (acc ? dx[i] : 0);
                row_end(dinp, at, dx, n, type);
            }
}
