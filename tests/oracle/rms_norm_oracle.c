#include "tests/oracle/oracle.h"

#include <math.h>

void rms_norm_forward_oracle(void *out, void *sum, void *rstd, const void *x, const void *y,
                             const void *weight, int64_t rows, int64_t D, double eps, dtype type,
                             stream *s) {
    (void)type, (void)s;
    for (int64_t r = 0; r < rows; r++) {
        const double *a = (const double *)x + r * D, *w = weight;
        double *total = sum ? (double *)sum + r * D : NULL, square = 0;
        for (int64_t i = 0; i < D && y; i++) total[i] = a[i] + ((const double *)y)[r * D + i];
        if (y) a = total;
        for (int64_t i = 0; i < D; i++) square += a[i] * a[i] / (double)D;
        ((double *)rstd)[r] = 1 / sqrt(square + eps);
        for (int64_t i = 0; i < D; i++)
            ((double *)out)[r * D + i] = a[i] / sqrt(square + eps) * w[i];
    }
}

size_t rms_norm_scratch_oracle(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)D, (void)type, (void)s;
    return 0;
}

void rms_norm_backward_oracle(void *dx, void *dy, void *dweight, const void *dout, const void *dsum,
                              const void *sum, const void *rstd, const void *weight, int64_t rows,
                              int64_t D, int acc_x, int acc_y, int acc_weight, dtype type,
                              void *scratch, stream *s) {
    const double *d = dout, *x = sum, *rs = rstd, *w = weight;
    double *dw = dweight;
    (void)type, (void)scratch, (void)s;
    for (int64_t i = 0; i < D && dw; i++) {
        dw[i] = acc_weight ? dw[i] : 0;
        for (int64_t r = 0; r < rows; r++) dw[i] += d[r * D + i] * x[r * D + i] * rs[r];
    }
    for (int64_t r = 0; r < rows; r++) {
        double dot = 0;
        for (int64_t i = r * D; i < r * D + D; i++) dot += d[i] * w[i - r * D] * x[i];
        for (int64_t i = r * D; i < r * D + D; i++) {
            double ds = rs[r] * d[i] * w[i - r * D] - pow(rs[r], 3) * x[i] * dot / (double)D;
            if (dsum) ds += ((const double *)dsum)[i];
            if (dx) ((double *)dx)[i] = ds + (acc_x ? ((double *)dx)[i] : 0);
            if (dy) ((double *)dy)[i] = ds + (acc_y ? ((double *)dy)[i] : 0);
        }
    }
}
