#include "tests/oracle/oracle.h"

size_t lora_scratch_oracle(const lora_shape *z, dtype type, stream *s) {
    (void)z, (void)type, (void)s;
    return 0;
}

// What dropout makes of element e of row n before part p.
static double factor(const lora_shape *z, const lora_factors *p, int64_t n, int64_t e) {
    if (!z->rows || z->rows[2 * n] < 0) return 1;
    float u =
        rng_uniform(p->key, (uint32_t)z->rows[2 * n], (uint64_t)(z->rows[2 * n + 1] * z->K + e));
    return (double)u < z->rate ? 0 : 1 / (1 - z->rate);
}

void lora_down_oracle(void *mid, const void *inp, const lora_shape *z, dtype type, void *scratch,
                      stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *x = inp;
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        for (int64_t n = 0; n < z->N; n++)
            for (int64_t j = 0; j < p->r; j++) {
                double sum = 0;
                for (int64_t k = 0; k < z->K; k++)
                    sum +=
                        x[n * z->K + k] * factor(z, p, n, k) * ((const double *)p->a)[j * z->K + k];
                ((double *)mid)[n * z->R + p->at + j] = sum;
            }
    }
}

void lora_up_oracle(void *out, const void *mid, const lora_shape *z, dtype type, void *scratch,
                    stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *u = mid;
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        for (int64_t n = 0; n < z->N; n++)
            for (int64_t c = 0; c < p->n; c++) {
                double sum = 0;
                for (int64_t j = 0; j < p->r; j++)
                    sum += u[n * z->R + p->at + j] * ((const double *)p->b)[c * p->r + j];
                ((double *)out)[n * z->O + p->first + c] += p->scale * sum;
            }
    }
}

void lora_up_backward_oracle(void *dmid, const void *dout, const void *mid, const lora_shape *z,
                             dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *dy = dout, *u = mid;
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        double *db = p->db;
        for (int64_t n = 0; n < z->N && dmid; n++)
            for (int64_t j = 0; j < p->r; j++) {
                double sum = 0;
                for (int64_t c = 0; c < p->n; c++)
                    sum += dy[n * z->O + p->first + c] * ((const double *)p->b)[c * p->r + j];
                ((double *)dmid)[n * z->R + p->at + j] = p->scale * sum;
            }
        for (int64_t c = 0; c < p->n && db; c++)
            for (int64_t j = 0; j < p->r; j++) {
                double sum = 0;
                for (int64_t n = 0; n < z->N; n++)
                    sum += dy[n * z->O + p->first + c] * u[n * z->R + p->at + j];
                db[c * p->r + j] = p->scale * sum + (p->acc_b ? db[c * p->r + j] : 0);
            }
    }
}

void lora_down_backward_oracle(void *dinp, const void *dmid, const void *inp, const lora_shape *z,
                               dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    const double *x = inp, *du = dmid;
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        double *da = p->da, *dx = dinp;
        for (int64_t n = 0; n < z->N && dx; n++)
            for (int64_t k = 0; k < z->K; k++)
                for (int64_t j = 0; j < p->r; j++)
                    dx[n * z->K + k] += factor(z, p, n, k) * du[n * z->R + p->at + j] *
                                        ((const double *)p->a)[j * z->K + k];
        for (int64_t j = 0; j < p->r && da; j++)
            for (int64_t k = 0; k < z->K; k++) {
                double sum = 0;
                for (int64_t n = 0; n < z->N; n++)
                    sum += du[n * z->R + p->at + j] * factor(z, p, n, k) * x[n * z->K + k];
                da[j * z->K + k] = sum + (p->acc_a ? da[j * z->K + k] : 0);
            }
    }
}
