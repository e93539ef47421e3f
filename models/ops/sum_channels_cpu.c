#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

// A few thousand weights: one thread is enough.
void sum_channels_forward_cpu(void *out, const void *inp, int64_t rows, int64_t C, dtype type,
                              stream *s) {
    cpu_expect_f32("sum_channels", type);
    (void)s;
    float *y = out;
    const float *x = inp;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < C; c++) sum += (double)x[r * C + c];
        y[r] = (float)sum;
    }
}

void sum_channels_backward_cpu(void *dinp, const void *dout, int64_t rows, int64_t C, int acc,
                               dtype type, stream *s) {
    cpu_expect_f32("sum_channels", type);
    (void)s;
    float *dx = dinp;
    const float *dy = dout;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < C; c++) dx[r * C + c] = dy[r] + (acc ? dx[r * C + c] : 0);
}
