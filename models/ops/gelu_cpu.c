#include "models/ops/math_cpu.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

static const float SQRT_HALF = 0.70710678118654752f, DENSITY_AT_0 = 0.39894228040143268f;

void gelu_forward_cpu(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    cpu_expect("gelu", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += ROW) {
        float buffer[2][ROW];
        int64_t count = row_length(at, n);
        const float *x = row_read(buffer[0], inp, at, count, type);
        float *y = row_begin(buffer[1], out, at, count, 0, type);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) y[i] = 0.5f * x[i] * (1 + cpu_erf(x[i] * SQRT_HALF));
        row_end(out, at, y, count, type);
    }
}

void gelu_backward_cpu(void *dinp, const void *dout, const void *inp, int64_t n, int acc,
                       dtype type, stream *s) {
    cpu_expect("gelu", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += ROW) {
        float buffer[3][ROW];
        int64_t count = row_length(at, n);
        const float *dy = row_read(buffer[0], dout, at, count, type);
        const float *x = row_read(buffer[1], inp, at, count, type);
        float *dx = row_begin(buffer[2], dinp, at, count, acc, type);
#pragma omp simd
        for (int64_t i = 0; i < count; i++) {
            float below = 0.5f * (1 + cpu_erf(x[i] * SQRT_HALF));
            float density = DENSITY_AT_0 * cpu_exp(-0.5f * x[i] * x[i]);
            float d = dy[i] * (below + x[i] * density);
            dx[i] = acc ? dx[i] + d : d;
        }
        row_end(dinp, at, dx, count, type);
    }
}
