// In words: dropout of y, the sum, layer_norm's oracle.
#include "tests/oracle/oracle.h"

#include <stdlib.h>

static void dropped(double *out, const double *inp, const dropout_shape *z) {
    if (z->rows)
        dropout_forward_oracle(out, inp, z, DTYPE_F64, NULL);
    else
        for (int64_t i = 0; i < z->samples * z->per_sample; i++) out[i] = inp[i];
}

void residual_norm_forward_oracle(void *out, void *sum, void *mean, void *rstd, const void *x,
                                  const void *y, const void *weight, const void *bias,
                                  const dropout_shape *z, double eps, dtype type, stream *s) {
    int64_t n = z->samples * z->per_sample;
    double *total = malloc((size_t)(n + 1) * sizeof *total);
    dropped(total, y, z);
    for (int64_t i = 0; i < n; i++) total[i] += ((const double *)x)[i];
    for (int64_t i = 0; i < n && sum; i++) ((double *)sum)[i] = total[i];
    layer_norm_forward_oracle(out, mean, rstd, total, weight, bias, z->samples, z->per_sample, eps,
                              type, s);
    free(total);
}

size_t residual_norm_scratch_oracle(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)D, (void)type, (void)s;
    return 0;
}

void residual_norm_backward_oracle(void *dx, void *dy, void *dweight, void *dbias, const void *dout,
                                   const void *sum, const void *mean, const void *rstd,
                                   const void *weight, const dropout_shape *z, int acc_x, int acc_y,
                                   int acc_weight, int acc_bias, dtype type, void *scratch,
                                   stream *s) {
    int64_t n = z->samples * z->per_sample;
    double *ds = malloc((size_t)(n + 1) * sizeof *ds), *m = malloc((size_t)(n + 1) * sizeof *m);
    layer_norm_backward_oracle(ds, dweight, dbias, dout, sum, mean, rstd, weight, z->samples,
                               z->per_sample, 0, acc_weight, acc_bias, type, scratch, s);
    dropped(m, ds, z);
    for (int64_t i = 0; i < n && dx; i++)
        ((double *)dx)[i] = ds[i] + (acc_x ? ((double *)dx)[i] : 0);
    for (int64_t i = 0; i < n && dy; i++)
        ((double *)dy)[i] = m[i] + (acc_y ? ((double *)dy)[i] : 0);
    free(ds), free(m);
}
