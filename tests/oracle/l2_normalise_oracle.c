#include "tests/oracle/oracle.h"

#include <math.h>

static double length_of(const double *x, int64_t D) {
    double sum = 0;
    for (int64_t i = 0; i < D; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

void l2_normalise_forward_oracle(void *out, void *norm, const void *inp, int64_t rows, int64_t D,
                                 dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = (const double *)inp + r * D;
        double length = length_of(x, D);
        ((double *)norm)[r] = length;
        for (int64_t i = 0; i < D; i++)
            ((double *)out)[r * D + i] = x[i] / (length < 1e-12 ? 1e-12 : length);
    }
}

// By the quotient's rule, element by element.
void l2_normalise_backward_oracle(void *dinp, const void *dout, const void *inp, const void *norm,
                                  int64_t rows, int64_t D, int acc, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = (const double *)inp + r * D, *dy = (const double *)dout + r * D;
        double n = ((const double *)norm)[r];
        for (int64_t i = 0; i < D; i++) {
            double d = n < 1e-12 ? dy[i] / 1e-12 : 0;
            for (int64_t j = 0; j < D && n >= 1e-12; j++)
                d += dy[j] * ((i == j) / n - x[i] * x[j] / (n * n * n));
            double *dx = (double *)dinp + r * D + i;
            *dx = d + (acc ? *dx : 0);
        }
    }
}
