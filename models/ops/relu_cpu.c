#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

void relu_forward_cpu(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    cpu_expect("relu", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += ROW) {
        float buffer[2][ROW];
        int64_t count = row_length(at, n);
        const float *x = row_read(buffer[0], inp, at, count, type);
        float *y = row_begin(buffer[1], out, at, count, 0, type);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? x[i] : 0;
        row_end(out, at, y, count, type);
    }
}

void relu_backward_cpu(void *dinp, const void *dout, const void *out, int64_t n, int acc,
                       dtype type, stream *s) {
    cpu_expect("relu", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += ROW) {
        float buffer[3][ROW];
        int64_t count = row_length(at, n);
        const float *dy = row_read(buffer[0], dout, at, count, type);
        const float *y = row_read(buffer[1], out, at, count, type);
        float *dx = row_begin(buffer[2], dinp, at, count, acc, type);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            float d = y[i] > 0 ? dy[i] : 0;
            dx[i] = acc ? dx[i] + d : d;
        }
        row_end(dinp, at, dx, count, type);
    }
}
