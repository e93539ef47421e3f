#include "tests/oracle/oracle.h"

#include <math.h>

void swiglu_forward_oracle(void *out, const void *inp, int64_t rows, int64_t F, dtype type,
                           stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < rows * F; i++) {
        const double *a = (const double *)inp + i / F * 2 * F + i % F;
        ((double *)out)[i] = a[0] / (1 + exp(-a[0])) * a[F];
    }
}

void swiglu_backward_oracle(void *dinp, const void *dout, const void *inp, int64_t rows, int64_t F,
                            int acc, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < rows * F; i++) {
        const int64_t gate = i / F * 2 * F + i % F;
        const double *a = (const double *)inp + gate, dy = ((const double *)dout)[i];
        const double sigmoid = 1 / (1 + exp(-a[0])), silu = a[0] * sigmoid;
        double *d = (double *)dinp + gate;
        d[0] = dy * a[F] * (sigmoid + silu * (1 - sigmoid)) + (acc ? d[0] : 0);
        d[F] = dy * silu + (acc ? d[F] : 0);
    }
}
