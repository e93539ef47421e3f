#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

void add_forward_cpu(void *out, const void *a, const void *b, int64_t n, dtype type, stream *s) {
    cpu_expect("add", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += ROW) {
        float buffer[3][ROW];
        int64_t count = row_length(at, n);
        const float *x = row_read(buffer[0], a, at, count, type);
        const float *z = row_read(buffer[1], b, at, count, type);
        float *y = row_begin(buffer[2], out, at, count, 0, type);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) y[i] = x[i] + z[i];
        row_end(out, at, y, count, type);
    }
}

void add_backward_cpu(void *dinp, const void *dout, int64_t n, int acc, dtype type, stream *s) {
    cpu_expect("add", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += ROW) {
        float buffer[2][ROW];
        int64_t count = row_length(at, n);
        const float *dy = row_read(buffer[0], dout, at, count, type);
        float *dx = row_begin(buffer[1], dinp, at, count, acc, type);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) dx[i] = acc ? dx[i] + dy[i] : dy[i];
        row_end(dinp, at, dx, count, type);
    }
}
