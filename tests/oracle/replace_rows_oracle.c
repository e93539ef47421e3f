#include "tests/oracle/oracle.h"

// Rows are inside of x here: what is outside is the devices' own test.
void replace_rows_forward_oracle(void *out, int32_t *where, const void *x, const void *y,
                                 const int32_t *index, int64_t N, int64_t M, int64_t D, dtype type,
                                 stream *s) {
    (void)type, (void)s;
    for (int64_t r = 0; r < N; r++) {
        const double *from = (const double *)x + r * D;
        where[r] = -1;
        for (int64_t m = 0; m < M; m++)
            if (index[m] == r) where[r] = (int32_t)m;
        if (where[r] >= 0) from = (const double *)y + where[r] * D;
        for (int64_t c = 0; c < D; c++) ((double *)out)[r * D + c] = from[c];
    }
}

void replace_rows_backward_oracle(void *dx, void *dy, const void *dout, const int32_t *where,
                                  const int32_t *index, int64_t N, int64_t M, int64_t D, int acc_x,
                                  int acc_y, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; dx && i < N * D; i++) {
        const double d = where[i / D] < 0 ? ((const double *)dout)[i] : 0;
        ((double *)dx)[i] = d + (acc_x ? ((double *)dx)[i] : 0);
    }
    for (int64_t i = 0; dy && i < M * D; i++) {
        const int64_t r = index[i / D];
        const double d = r >= 0 && r < N ? ((const double *)dout)[r * D + i % D] : 0;
        ((double *)dy)[i] = d + (acc_y ? ((double *)dy)[i] : 0);
    }
}
