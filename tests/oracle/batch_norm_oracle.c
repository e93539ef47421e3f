#include "tests/oracle/oracle.h"

#include <math.h>

void batch_norm_sums_oracle(double *sums, const void *inp, int64_t rows, int64_t C, dtype type,
                            stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < 2 * C; i++) sums[i] = 0;
    sums[2 * C] = (double)rows;
    for (int64_t i = 0; i < rows * C; i++) {
        double x = ((const double *)inp)[i];
        sums[i % C] += x;
        sums[C + i % C] += x * x;
    }
}

void batch_norm_statistics_oracle(void *mean, void *rstd, void *running_mean, void *running_var,
                                  const double *sums, double eps, double momentum, int64_t C,
                                  dtype type, stream *s) {
    (void)type, (void)s;
    const double count = sums[2 * C];
    double *rm = running_mean, *rv = running_var;
    for (int64_t c = 0; c < C; c++) {
        double m = sums[c] / count, var = fmax(sums[C + c] / count - m * m, 0);
        ((double *)mean)[c] = m;
        ((double *)rstd)[c] = 1 / sqrt(var + eps);
        if (rm) rm[c] = (1 - momentum) * rm[c] + momentum * m;
        if (rv)
            rv[c] = (1 - momentum) * rv[c] + momentum * var * (count > 1 ? count / (count - 1) : 1);
    }
}

void batch_norm_rstd_oracle(void *rstd, const void *running_var, double eps, int64_t C, dtype type,
                            stream *s) {
    (void)type, (void)s;
    for (int64_t c = 0; c < C; c++)
        ((double *)rstd)[c] = 1 / sqrt(((const double *)running_var)[c] + eps);
}

void batch_norm_apply_oracle(void *out, const void *inp, const void *residual, const void *mean,
                             const void *rstd, const void *weight, const void *bias, int64_t rows,
                             int64_t C, int relu, dtype type, stream *s) {
    (void)type, (void)s;
    const double *x = inp, *m = mean, *r = rstd, *w = weight, *b = bias;
    for (int64_t i = 0; i < rows * C; i++) {
        int64_t c = i % C;
        double y = (x[i] - m[c]) * r[c] * w[c] + b[c];
        if (residual) y += ((const double *)residual)[i];
        ((double *)out)[i] = relu && y < 0 ? 0 : y;
    }
}

static double masked(const void *dout, const void *out, int relu, int64_t i) {
    return !relu || ((const double *)out)[i] > 0 ? ((const double *)dout)[i] : 0;
}

void batch_norm_backward_sums_oracle(double *sums, const void *dout, const void *out,
                                     const void *inp, const void *mean, const void *rstd,
                                     int64_t rows, int64_t C, int relu, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < 2 * C; i++) sums[i] = 0;
    sums[2 * C] = (double)rows;
    for (int64_t i = 0; i < rows * C; i++) {
        int64_t c = i % C;
        double x = ((const double *)inp)[i], dy = masked(dout, out, relu, i);
        sums[c] += dy;
        sums[C + c] += dy * (x - ((const double *)mean)[c]) * ((const double *)rstd)[c];
    }
}

void batch_norm_backward_params_oracle(void *dweight, void *dbias, const double *sums, int64_t C,
                                       int acc_weight, int acc_bias, dtype type, stream *s) {
    (void)type, (void)s;
    double *dw = dweight, *db = dbias;
    for (int64_t c = 0; c < C; c++) {
        if (db) db[c] = sums[c] + (acc_bias ? db[c] : 0);
        if (dw) dw[c] = sums[C + c] + (acc_weight ? dw[c] : 0);
    }
}

void batch_norm_backward_apply_oracle(void *dinp, void *dresidual, const void *dout,
                                      const void *out, const void *inp, const void *mean,
                                      const void *rstd, const void *weight, const double *sums,
                                      int64_t rows, int64_t C, int relu, int acc_inp,
                                      int acc_residual, dtype type, stream *s) {
    (void)type, (void)s;
    double *dx = dinp, *dr = dresidual;
    for (int64_t i = 0; i < rows * C; i++) {
        int64_t c = i % C;
        double dy = masked(dout, out, relu, i), r = ((const double *)rstd)[c];
        double xhat = (((const double *)inp)[i] - ((const double *)mean)[c]) * r;
        double rest = sums ? (sums[c] + xhat * sums[C + c]) / sums[2 * C] : 0;
        double d = r * ((const double *)weight)[c] * (dy - rest);
        if (dx) dx[i] = d + (acc_inp ? dx[i] : 0);
        if (dr) dr[i] = dy + (acc_residual ? dr[i] : 0);
    }
}
