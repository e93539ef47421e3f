#include "tests/oracle/oracle.h"

#include <math.h>

// One head of one sequence, whose numbers are found row by row.
typedef struct place {
    const attention_tensors *x;
    const attention_shape *z;
    attention_segment g;
    int64_t b, h, queries, keys;
} place;

static place place_at(const attention_tensors *x, const attention_shape *z, int64_t b, int64_t h) {
    place p = {.x = x, .z = z, .b = b, .h = h};
    if (z->segments)
        p.g = z->segments[b];
    else
        p.g = (attention_segment){.q_first = {(int32_t)(b * z->TQ)},
                                  .q_count = {(int32_t)z->TQ},
                                  .k_first = {(int32_t)(b * z->TK)},
                                  .k_count = {(int32_t)z->TK},
                                  .sample = (int32_t)(z->first_sample + (uint32_t)b)};
    for (int i = 0; i < 2; i++) p.queries += p.g.q_count[i];
    for (int i = 0; i < 3; i++) p.keys += p.g.k_count[i];
    if (!p.queries || !p.keys) p.queries = p.keys = 0;
    return p;
}

// The piece and the row of query I, and of key J.
static int64_t query_row(const place *p, int64_t i, int *piece) {
    *piece = i >= p->g.q_count[0];
    return p->g.q_first[*piece] + i - (*piece ? p->g.q_count[0] : 0);
}

static int64_t key_row(const place *p, int64_t j, int *piece) {
    static const int order[] = {2, 0, 1};
    for (int k = 0; k < 3; j -= p->g.k_count[order[k++]])
        if (j < p->g.k_count[order[k]]) {
            *piece = order[k];
            return p->g.k_first[*piece] + j;
        }
    die("attention_oracle: no such key");
}

// This head's D numbers of query I in one of the tensors like q; NULL where there is none.
static double *of_query(const place *p, const void *const *tensors, int64_t i) {
    int piece;
    int64_t row = query_row(p, i, &piece);
    return tensors[piece] ? (double *)tensors[piece] + (row * p->z->H + p->h) * p->z->D : NULL;
}

static double *of_key(const place *p, const void *const *tensors, int64_t j) {
    int piece;
    int64_t row = key_row(p, j, &piece);
    return tensors[piece] ? (double *)tensors[piece] + (row * p->z->H + p->h) * p->z->D : NULL;
}

static double *lse_of(const place *p, int64_t i) {
    int piece;
    int64_t row = query_row(p, i, &piece);
    int64_t at =
        p->z->segments ? p->h * p->z->q_rows[piece] + row : (p->b * p->z->H + p->h) * p->z->TQ + i;
    return (double *)p->x->lse[piece] + at;
}

static double dot(const place *p, const double *a, const double *b) {
    double sum = 0;
    for (int64_t d = 0; d < p->z->D; d++) sum += a[d] * b[d];
    return sum;
}

static bool sees(const place *p, int64_t i, int64_t j) {
    return !p->g.causal || j <= i + p->keys - p->queries;
}

static double score(const place *p, int64_t i, int64_t j) {
    return p->z->scale * dot(p, of_query(p, p->x->q, i), of_key(p, p->x->k, j));
}

static double factor(const place *p, int64_t i, int64_t j) {
    const attention_shape *z = p->z;
    if (z->dropout == 0) return 1;
    float u = rng_uniform(z->key, (uint32_t)p->g.sample,
                          ((uint64_t)p->h * 65536 + (uint64_t)i) * 65536 + (uint64_t)j);
    return (double)u < z->dropout ? 0 : 1 / (1 - z->dropout);
}

static void add_to(const place *p, double *to, double weight, const double *x) {
    for (int64_t d = 0; to && d < p->z->D; d++) to[d] += weight * x[d];
}

static void clear(void *x, int64_t n, int acc) {
    for (int64_t i = 0; x && !acc && i < n; i++) ((double *)x)[i] = 0;
}

static int64_t query_numbers(const attention_shape *z, int piece) {
    int64_t rows = z->segments ? z->q_rows[piece] : piece ? 0 : z->B * z->TQ;
    return rows * z->H * z->D;
}

static int64_t key_numbers(const attention_shape *z, int piece) {
    int64_t rows = z->segments ? z->k_rows[piece] : piece ? 0 : z->B * z->TK;
    return rows * z->H * z->D;
}

static void forward_row(const place *p, int64_t i) {
    double largest = -INFINITY, sum = 0, *lse = lse_of(p, i);
    double *out = of_query(p, (const void *const *)p->x->out, i);
    for (int64_t j = 0; j < p->keys; j++)
        if (sees(p, i, j)) largest = fmax(largest, score(p, i, j));
    for (int64_t j = 0; j < p->keys; j++)
        if (sees(p, i, j)) sum += exp(score(p, i, j) - largest);
    *lse = sum > 0 ? largest + log(sum) : 0;
    for (int64_t j = 0; j < p->keys; j++)
        if (sees(p, i, j))
            add_to(p, out, exp(score(p, i, j) - *lse) * factor(p, i, j), of_key(p, p->x->v, j));
}

void attention_forward_oracle(const attention_tensors *x, const attention_shape *z, dtype type,
                              void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    for (int i = 0; i < 2; i++) clear(x->out[i], query_numbers(z, i), 0);
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t h = 0; h < z->H; h++) {
            const place p = place_at(x, z, b, h);
            for (int64_t i = 0; i < p.queries; i++) forward_row(&p, i);
        }
}

size_t attention_scratch_oracle(const attention_shape *z, dtype type, stream *s) {
    (void)z, (void)type, (void)s;
    return 0;
}

// Adds the parts of query I.
static void backward_row(const place *p, const attention_gradients *g, int64_t i) {
    const double lse = *lse_of(p, i), *dout = of_query(p, g->dout, i);
    const double *q = of_query(p, p->x->q, i);
    double *dq = of_query(p, (const void *const *)g->dq, i);
    double mean = 0; // of dP under P
    for (int64_t j = 0; j < p->keys; j++)
        if (sees(p, i, j))
            mean +=
                exp(score(p, i, j) - lse) * factor(p, i, j) * dot(p, dout, of_key(p, p->x->v, j));
    for (int64_t j = 0; j < p->keys; j++) {
        if (!sees(p, i, j)) continue;
        double m = factor(p, i, j), prob = exp(score(p, i, j) - lse);
        double ds = prob * (m * dot(p, dout, of_key(p, p->x->v, j)) - mean) * p->z->scale;
        add_to(p, of_key(p, (const void *const *)g->dv, j), prob * m, dout);
        add_to(p, dq, ds, of_key(p, p->x->k, j));
        add_to(p, of_key(p, (const void *const *)g->dk, j), ds, q);
    }
}

void attention_backward_oracle(const attention_gradients *g, const attention_tensors *x,
                               const attention_shape *z, dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    for (int i = 0; i < 2; i++) clear(g->dq[i], query_numbers(z, i), g->acc_q[i]);
    for (int i = 0; i < 3; i++) clear(g->dk[i], key_numbers(z, i), g->acc_k[i]);
    for (int i = 0; i < 3; i++) clear(g->dv[i], key_numbers(z, i), g->acc_v[i]);
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t h = 0; h < z->H; h++) {
            const place p = place_at(x, z, b, h);
            for (int64_t i = 0; i < p.queries; i++) backward_row(&p, g, i);
        }
}
