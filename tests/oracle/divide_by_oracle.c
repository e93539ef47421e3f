#include "tests/oracle/oracle.h"

void divide_by_forward_oracle(void *out, const void *inp, const void *divisor, int64_t n,
                              dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < n; i++)
        ((double *)out)[i] = ((const double *)inp)[i] / *(const double *)divisor;
}

void divide_by_backward_oracle(void *dinp, void *ddivisor, const void *dout, const void *out,
                               const void *divisor, int64_t n, int acc_inp, int acc_divisor,
                               dtype type, stream *s) {
    (void)type, (void)s;
    const double *dy = dout, *y = out, by = *(const double *)divisor;
    double *dx = dinp, *dt = ddivisor, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum -= dy[i] * y[i] / by;
        if (dx) dx[i] = dy[i] / by + (acc_inp ? dx[i] : 0);
    }
    if (dt) *dt = sum + (acc_divisor ? *dt : 0);
}
