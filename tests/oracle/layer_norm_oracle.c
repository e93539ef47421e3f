#include "tests/oracle/oracle.h"

#include <math.h>

void layer_norm_forward_oracle(void *out, void *mean, void *rstd, const void *inp,
                               const void *weight, const void *bias, int64_t rows, int64_t D,
                               double eps, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = (const double *)inp + r * D;
        double m = 0, var = 0;
        for (int64_t i = 0; i < D; i++) m += x[i] / (double)D;
        for (int64_t i = 0; i < D; i++) var += (x[i] - m) * (x[i] - m) / (double)D;
        ((double *)mean)[r] = m;
        ((double *)rstd)[r] = 1 / sqrt(var + eps);
        for (int64_t i = 0; i < D; i++)
            ((double *)out)[r * D + i] =
                (x[i] - m) / sqrt(var + eps) * ((const double *)weight)[i] +
                ((const double *)bias)[i];
    }
}

size_t layer_norm_scratch_oracle(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)D, (void)type, (void)s;
    return 0;
}

static void backward_row(double *dx, const double *dy, const double *x, const double *w, double m,
                         double rstd, int64_t D, int acc) {
    double g = 0, gh = 0;
    for (int64_t i = 0; i < D; i++) {
        g += dy[i] * w[i] / (double)D;
        gh += dy[i] * w[i] * (x[i] - m) * rstd / (double)D;
    }
    for (int64_t i = 0; i < D; i++)
        dx[i] = rstd * (dy[i] * w[i] - g - (x[i] - m) * rstd * gh) + (acc ? dx[i] : 0);
}

void layer_norm_backward_oracle(void *dinp, void *dweight, void *dbias, const void *dout,
                                const void *inp, const void *mean, const void *rstd,
                                const void *weight, int64_t rows, int64_t D, int acc_inp,
                                int acc_weight, int acc_bias, dtype type, void *scratch,
                                stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *dy = dout, *x = inp, *m = mean, *rs = rstd;
    double *dw = dweight, *db = dbias;
    for (int64_t r = 0; r < rows && dinp; r++)
        backward_row((double *)dinp + r * D, dy + r * D, x + r * D, weight, m[r], rs[r], D,
                     acc_inp);
    for (int64_t i = 0; i < D; i++) {
        double sum = 0, dot = 0;
        for (int64_t r = 0; r < rows; r++) {
            sum += dy[r * D + i];
            dot += dy[r * D + i] * (x[r * D + i] - m[r]) * rs[r];
        }
        if (dw) dw[i] = dot + (acc_weight ? dw[i] : 0);
        if (db) db[i] = sum + (acc_bias ? db[i] : 0);
    }
}
