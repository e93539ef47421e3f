#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

void add_forward_cpu(void *out, const void *a, const void *b, int64_t n, dtype type, stream *s) {
    cpu_expect_f32("add", type);
    (void)s;
    float *y = out;
    const float *x = a, *z = b;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = x[i] + z[i];
}

void add_backward_cpu(void *dinp, const void *dout, int64_t n, int acc, dtype type, stream *s) {
    cpu_expect_f32("add", type);
    (void)s;
    float *dx = dinp;
    const float *dy = dout;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) dx[i] = acc ? dx[i] + dy[i] : dy[i];
}
