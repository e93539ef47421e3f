#include "tests/oracle/oracle.h"

#include <math.h>

void gelu_forward_oracle(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < n; i++) {
        double x = ((const double *)inp)[i];
        ((double *)out)[i] = x * 0.5 * (1 + erf(x / sqrt(2.0)));
    }
}

void gelu_backward_oracle(void *dinp, const void *dout, const void *inp, int64_t n, int acc,
                          dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < n; i++) {
        double x = ((const double *)inp)[i], dy = ((const double *)dout)[i];
        double d = dy * (0.5 * (1 + erf(x / sqrt(2.0))) + x * exp(-x * x / 2) / sqrt(2 * M_PI));
        ((double *)dinp)[i] = d + (acc ? ((double *)dinp)[i] : 0);
    }
}
