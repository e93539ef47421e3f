#include "tests/oracle/oracle.h"

void concat_vector_forward_oracle(void *out, const void *inp, const void *vector, int64_t rows,
                                  int64_t C1, int64_t C2, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t r = 0; r < rows; r++) {
        double *y = (double *)out + r * (C1 + C2);
        for (int64_t i = 0; i < C1; i++) y[i] = ((const double *)inp)[r * C1 + i];
        for (int64_t i = 0; i < C2; i++) y[C1 + i] = ((const double *)vector)[i];
    }
}

void concat_vector_backward_oracle(void *dinp, void *dvector, const void *dout, int64_t rows,
                                   int64_t C1, int64_t C2, int acc_inp, int acc_vector, dtype type,
                                   stream *s) {
    (void)type, (void)s;
    double *dx = dinp, *dv = dvector;
    const double *dy = dout;
    for (int64_t r = 0; r < rows && dx; r++)
        for (int64_t i = 0; i < C1; i++)
            dx[r * C1 + i] = dy[r * (C1 + C2) + i] + (acc_inp ? dx[r * C1 + i] : 0);
    for (int64_t i = 0; i < C2 && dv; i++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) sum += dy[r * (C1 + C2) + C1 + i];
        dv[i] = sum + (acc_vector ? dv[i] : 0);
    }
}
