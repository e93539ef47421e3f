#include "tests/oracle/oracle.h"

static double dot(const double *a, const double *b, int64_t E) {
    double sum = 0;
    for (int64_t e = 0; e < E; e++) sum += a[e] * b[e];
    return sum;
}

void max_similarity_forward_oracle(void *out, int32_t *winner, const void *images,
                                   const void *texts, const similarity_shape *z, dtype type,
                                   stream *s) {
    (void)type, (void)s;
    for (int64_t n = 0; n < z->N; n++)
        for (int64_t m = 0; m < z->M; m++) {
            const double *x = (const double *)images + n * z->Q * z->E;
            const double *w = (const double *)texts + m * z->E;
            double most = dot(x, w, z->E);
            winner[n * z->M + m] = 0;
            for (int64_t q = 1; q < z->Q; q++) {
                double product = dot(x + q * z->E, w, z->E);
                if (product <= most) continue;
                most = product;
                winner[n * z->M + m] = (int32_t)q;
            }
            ((double *)out)[z->by_text ? m * z->N + n : n * z->M + m] = most;
        }
}

void max_similarity_backward_oracle(void *dimages, void *dtexts, const void *dout,
                                    const void *images, const void *texts, const int32_t *winner,
                                    const similarity_shape *z, int acc_images, int acc_texts,
                                    dtype type, stream *s) {
    (void)type, (void)s;
    double *dx = dimages, *dw = dtexts;
    for (int64_t i = 0; i < z->N * z->Q * z->E && dx && !acc_images; i++) dx[i] = 0;
    for (int64_t i = 0; i < z->M * z->E && dw && !acc_texts; i++) dw[i] = 0;
    for (int64_t n = 0; n < z->N; n++)
        for (int64_t m = 0; m < z->M; m++)
            for (int64_t e = 0; e < z->E; e++) {
                int64_t x = (n * z->Q + winner[n * z->M + m]) * z->E + e, w = m * z->E + e;
                double d = ((const double *)dout)[z->by_text ? m * z->N + n : n * z->M + m];
                if (dx) dx[x] += d * ((const double *)texts)[w];
                if (dw) dw[w] += d * ((const double *)images)[x];
            }
}
