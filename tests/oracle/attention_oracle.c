#include "tests/oracle/oracle.h"

#include <math.h>

// Numbers of one (sample, head): x(token, d) in (B, T, H, D).
typedef struct place {
    const attention_shape *z;
    int64_t b, h;
} place;

static int64_t at(place p, int64_t T, int64_t token, int64_t d) {
    return ((p.b * T + token) * p.z->H + p.h) * p.z->D + d;
}

static double dot(place p, const double *x, int64_t TX, int64_t i, const double *y, int64_t TY,
                  int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < p.z->D; d++) sum += x[at(p, TX, i, d)] * y[at(p, TY, j, d)];
    return sum;
}

static double factor(place p, int64_t i, int64_t j) {
    const attention_shape *z = p.z;
    if (z->dropout == 0) return 1;
    uint64_t element = (uint64_t)((p.h * z->TQ + i) * z->TK + j);
    float u = rng_uniform(z->key, z->first_sample + (uint32_t)p.b, element);
    return (double)u < z->dropout ? 0 : 1 / (1 - z->dropout);
}

static void forward_row(place p, double *out, double *lse, const double *q, const double *k,
                        const double *v, int64_t i) {
    const attention_shape *z = p.z;
    double largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < z->TK; j++)
        largest = fmax(largest, z->scale * dot(p, q, z->TQ, i, k, z->TK, j));
    for (int64_t j = 0; j < z->TK; j++)
        sum += exp(z->scale * dot(p, q, z->TQ, i, k, z->TK, j) - largest);
    *lse = largest + log(sum);
    for (int64_t d = 0; d < z->D; d++) out[at(p, z->TQ, i, d)] = 0;
    for (int64_t j = 0; j < z->TK; j++) {
        double a = exp(z->scale * dot(p, q, z->TQ, i, k, z->TK, j) - *lse) * factor(p, i, j);
        for (int64_t d = 0; d < z->D; d++) out[at(p, z->TQ, i, d)] += a * v[at(p, z->TK, j, d)];
    }
}

void attention_forward_oracle(void *out, void *lse, const void *q, const void *k, const void *v,
                              const attention_shape *z, dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t h = 0; h < z->H; h++)
            for (int64_t i = 0; i < z->TQ; i++)
                forward_row((place){z, b, h}, out, (double *)lse + (b * z->H + h) * z->TQ + i, q, k,
                            v, i);
}

size_t attention_scratch_oracle(const attention_shape *z, dtype type, stream *s) {
    (void)z, (void)type, (void)s;
    return 0;
}

typedef struct gradients {
    double *dq, *dk, *dv;
    const double *dout, *q, *k, *v;
} gradients;

// Adds the parts of query I.
static void backward_row(place p, const gradients *g, double lse, int64_t i) {
    const attention_shape *z = p.z;
    double mean = 0; // of dP under P
    for (int64_t j = 0; j < z->TK; j++)
        mean += exp(z->scale * dot(p, g->q, z->TQ, i, g->k, z->TK, j) - lse) * factor(p, i, j) *
                dot(p, g->dout, z->TQ, i, g->v, z->TK, j);
    for (int64_t j = 0; j < z->TK; j++) {
        double m = factor(p, i, j);
        double prob = exp(z->scale * dot(p, g->q, z->TQ, i, g->k, z->TK, j) - lse);
        double ds = prob * (m * dot(p, g->dout, z->TQ, i, g->v, z->TK, j) - mean) * z->scale;
        for (int64_t d = 0; d < z->D; d++) {
            int64_t query = at(p, z->TQ, i, d), key = at(p, z->TK, j, d);
            if (g->dv) g->dv[key] += prob * m * g->dout[query];
            if (g->dq) g->dq[query] += ds * g->k[key];
            if (g->dk) g->dk[key] += ds * g->q[query];
        }
    }
}

static void clear(double *x, int64_t n, int acc) {
    for (int64_t i = 0; x && !acc && i < n; i++) x[i] = 0;
}

void attention_backward_oracle(void *dq, void *dk, void *dv, const void *dout, const void *out,
                               const void *lse, const void *q, const void *k, const void *v,
                               const attention_shape *z, int acc_q, int acc_k, int acc_v,
                               dtype type, void *scratch, stream *s) {
    (void)out, (void)type, (void)scratch, (void)s;
    const gradients g = {dq, dk, dv, dout, q, k, v};
    clear(dq, z->B * z->TQ * z->H * z->D, acc_q);
    clear(dk, z->B * z->TK * z->H * z->D, acc_k);
    clear(dv, z->B * z->TK * z->H * z->D, acc_v);
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t h = 0; h < z->H; h++)
            for (int64_t i = 0; i < z->TQ; i++)
                backward_row((place){z, b, h}, &g,
                             ((const double *)lse)[(b * z->H + h) * z->TQ + i], i);
}
