#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

void relu_forward_cpu(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    cpu_expect_f32("relu", type);
    (void)s;
    float *y = out;
    const float *x = inp;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}

void relu_backward_cpu(void *dinp, const void *dout, const void *out, int64_t n, int acc,
                       dtype type, stream *s) {
    cpu_expect_f32("relu", type);
    (void)s;
    float *dx = dinp;
    const float *dy = dout, *y = out;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float d = y[i] > 0 ? dy[i] : 0;
        dx[i] = acc ? dx[i] + d : d;
    }
}
