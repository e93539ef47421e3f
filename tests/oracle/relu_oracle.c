#include "tests/oracle/oracle.h"

void relu_forward_oracle(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < n; i++) {
        double x = ((const double *)inp)[i];
        ((double *)out)[i] = x > 0 ? x : 0;
    }
}

void relu_backward_oracle(void *dinp, const void *dout, const void *out, int64_t n, int acc,
                          dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < n; i++) {
        double d = ((const double *)out)[i] > 0 ? ((const double *)dout)[i] : 0;
        ((double *)dinp)[i] = d + (acc ? ((double *)dinp)[i] : 0);
    }
}
