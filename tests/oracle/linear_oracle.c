#include "tests/oracle/oracle.h"

size_t linear_scratch_oracle(int64_t M, int64_t N, int64_t K, dtype type, stream *s) {
    (void)M, (void)N, (void)K, (void)type, (void)s;
    return 0;
}

void linear_forward_oracle(void *out, const void *inp, const void *weight, const void *bias,
                           int64_t M, int64_t N, int64_t K, dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *x = inp, *w = weight, *b = bias;
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            double sum = b ? b[n] : 0;
            for (int64_t k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
            ((double *)out)[m * N + n] = sum;
        }
}

void linear_backward_input_oracle(void *dinp, const void *dout, const void *weight, int64_t M,
                                  int64_t N, int64_t K, int acc, dtype type, void *scratch,
                                  stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *dy = dout, *w = weight;
    double *dx = dinp;
    for (int64_t m = 0; m < M; m++)
        for (int64_t k = 0; k < K; k++) {
            double sum = 0;
            for (int64_t n = 0; n < N; n++) sum += dy[m * N + n] * w[n * K + k];
            dx[m * K + k] = sum + (acc ? dx[m * K + k] : 0);
        }
}

void linear_backward_weight_oracle(void *dweight, void *dbias, const void *dout, const void *inp,
                                   int64_t M, int64_t N, int64_t K, int acc_weight, int acc_bias,
                                   dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *dy = dout, *x = inp;
    double *dw = dweight, *db = dbias;
    for (int64_t n = 0; n < N; n++) {
        for (int64_t k = 0; k < K && dw; k++) {
            double sum = 0;
            for (int64_t m = 0; m < M; m++) sum += dy[m * N + n] * x[m * K + k];
            dw[n * K + k] = sum + (acc_weight ? dw[n * K + k] : 0);
        }
        double sum = 0;
        for (int64_t m = 0; m < M; m++) sum += dy[m * N + n];
        if (db) db[n] = sum + (acc_bias ? db[n] : 0);
    }
}
