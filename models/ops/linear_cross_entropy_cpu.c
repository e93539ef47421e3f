#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

void linear_cross_entropy_backward_cpu(void *dinp, const void *dloss, const void *kept,
                                       const void *row_weight, double factor, int64_t rows,
                                       int64_t D, int acc, dtype type, stream *s) {
    cpu_expect("linear_cross_entropy", type);
    (void)s;
    const double upstream = (double)*(const float *)dloss * factor;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        const float *weight = row_weight;
        const float scale = (float)(upstream * (weight ? (double)weight[r] : 1));
        for (int64_t c = 0; c < D; c += ROW) {
            float buffer[2][ROW];
            const int64_t n = row_length(c, D);
            const float *x = row_read(buffer[0], kept, r * D + c, n, type);
            float *dx = row_begin(buffer[1], dinp, r * D + c, n, acc, type);
#pragma omp simd
            for (int64_t i = 0; i < n; i++) dx[i] = (acc ? dx[i] : 0) + x[i] * scale;
            row_end(dinp, r * D + c, dx, n, type);
        }
    }
}
