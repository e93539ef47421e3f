#include "models/ops/math_cpu.h"
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

static const float SQRT_HALF = 0.70710678118654752f, DENSITY_AT_0 = 0.39894228040143268f;

void gelu_forward_cpu(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    cpu_expect_f32("gelu", type);
    (void)s;
    float *y = out;
    const float *x = inp;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = 0.5f * x[i] * (1 + cpu_erf(x[i] * SQRT_HALF));
}

void gelu_backward_cpu(void *dinp, const void *dout, const void *inp, int64_t n, int acc,
                       dtype type, stream *s) {
    cpu_expect_f32("gelu", type);
    (void)s;
    float *dx = dinp;
    const float *dy = dout, *x = inp;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) {
        float below = 0.5f * (1 + cpu_erf(x[i] * SQRT_HALF));
        float density = DENSITY_AT_0 * cpu_exp(-0.5f * x[i] * x[i]);
        float d = dy[i] * (below + x[i] * density);
        dx[i] = acc ? dx[i] + d : d;
    }
}
