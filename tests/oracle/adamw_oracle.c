// The optimizer's kernels in plain double loops: AdamW as its papers and packages write it down.
#include "tests/oracle/oracle.h"

#include <math.h>

void sum_squares_oracle(double *partial, const void *grad, int64_t offset, int64_t count,
                        dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = offset; i < offset + count; i++)
        partial[i / OPTIM_SUM_BLOCK] += ((const double *)grad)[i] * ((const double *)grad)[i];
}

void norm_finish_oracle(adamw_progress *progress, const double *partial, int64_t blocks,
                        stream *s) {
    (void)s;
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += partial[b];
    progress->unscale = 1 / progress->scaler.scale;
    progress->norm = sqrt(sum) / progress->scaler.scale;
    if (isfinite(progress->norm)) progress->steps++;
    scaler_update(&progress->scaler, isfinite(progress->norm));
    progress->seed = (float)progress->scaler.scale;
}

// Loshchilov and Hutter 2019, algorithm 2, in the order of operations of each package.
void adamw_update_oracle(void *param, void *m, void *v, const void *grad,
                         const adamw_progress *progress, const adamw_args *a, int64_t count,
                         dtype type, stream *s) {
    (void)type, (void)s;
    double *p = param, *first = m, *second = v, t = (double)progress->steps, clip = 1;
    const double lr = progress->lr * a->lr_scale;
    if (!isfinite(progress->norm)) return;
    if (a->max_norm > 0) clip = fmin(1, a->max_norm / (progress->norm + 1e-6));
    double correction1 = 1 - pow(a->beta1, t), correction2 = 1 - pow(a->beta2, t);
    for (int64_t i = 0; i < count; i++) {
        double g = ((const double *)grad)[i] * progress->unscale * clip;
        first[i] = a->beta1 * first[i] + (1 - a->beta1) * g;
        second[i] = a->beta2 * second[i] + (1 - a->beta2) * g * g;
        if (a->convention == ADAMW_TORCH) {
            p[i] -= lr * a->weight_decay * p[i];
            p[i] -= lr * (first[i] / correction1) / (sqrt(second[i] / correction2) + a->eps);
        } else {
            double rate = lr * sqrt(correction2) / correction1;
            p[i] -= rate * first[i] / (sqrt(second[i]) + a->eps);
            p[i] -= lr * a->weight_decay * p[i];
        }
    }
}

// The oracle's own type is wide, so only tests of this kernel call it.
void narrow_oracle(void *out, const void *param, int64_t count, dtype type, stream *s) {
    (void)s;
    for (int64_t i = 0; i < count; i++)
        element_put(out, i, element_get(param, i, DTYPE_F32), type);
}
