#include "tests/oracle/oracle.h"

void mean_tokens_forward_oracle(void *out, const void *inp, int64_t B, int64_t T, int64_t C,
                                dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t b = 0; b < B; b++)
        for (int64_t c = 0; c < C; c++) {
            double sum = 0;
            for (int64_t t = 0; t < T; t++) sum += ((const double *)inp)[(b * T + t) * C + c];
            ((double *)out)[b * C + c] = sum / (double)T;
        }
}

void mean_tokens_backward_oracle(void *dinp, const void *dout, int64_t B, int64_t T, int64_t C,
                                 int acc, dtype type, stream *s) {
    (void)type, (void)s;
    double *dx = dinp;
    for (int64_t i = 0; i < B * T * C; i++) {
        double d = ((const double *)dout)[i / (T * C) * C + i % C] / (double)T;
        dx[i] = d + (acc ? dx[i] : 0);
    }
}
