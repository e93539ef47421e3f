#include "tests/oracle/oracle.h"

// Goes over the outputs' numbers, not over the input's: where number I of head H of output WHICH
// comes from in a row, and its partner.
typedef struct source {
    int64_t own, partner;
    double c, s; // what both are multiplied by
} source;

static source source_of(const heads_shape *z, int64_t r, int which, int64_t h, int64_t i) {
    const int64_t half = z->D / 2, pair = i % half;
    const int64_t from = which == 0 ? h : z->HQ + (which - 1) * z->HK + h / z->copies;
    const int64_t first = (r * (z->HQ + 2 * z->HK) + from) * z->D;
    const double *cs = (const double *)z->table + (z->positions[r] * half + pair) * 2;
    if (which == 2) return (source){first + i, first + i, 1, 0};
    return (source){first + i, first + (i < half ? i + half : i - half), cs[0],
                    i < half ? -cs[1] : cs[1]};
}

static int64_t heads_of(const heads_shape *z, int which) {
    return which ? z->HK * z->copies : z->HQ;
}

void rotate_heads_forward_oracle(void *q, void *k, void *v, const void *qkv, const heads_shape *z,
                                 dtype type, stream *s) {
    double *const out[] = {q, k, v};
    const double *x = qkv;
    (void)type, (void)s;
    for (int which = 0; which < 3; which++)
        for (int64_t at = 0; at < z->N * heads_of(z, which) * z->D; at++) {
            const int64_t head = at / z->D, H = heads_of(z, which);
            const source from = source_of(z, head / H, which, head % H, at % z->D);
            out[which][at] = x[from.own] * from.c + x[from.partner] * from.s;
        }
}

void rotate_heads_backward_oracle(void *dqkv, const void *dq, const void *dk, const void *dv,
                                  const heads_shape *z, int acc, dtype type, stream *s) {
    const double *const dout[] = {dq, dk, dv};
    double *dx = dqkv;
    (void)type, (void)s;
    for (int64_t i = 0; i < z->N * (z->HQ + 2 * z->HK) * z->D && !acc; i++) dx[i] = 0;
    for (int which = 0; which < 3; which++)
        for (int64_t at = 0; at < z->N * heads_of(z, which) * z->D; at++) {
            const int64_t head = at / z->D, H = heads_of(z, which);
            const source from = source_of(z, head / H, which, head % H, at % z->D);
            dx[from.own] += dout[which][at] * from.c;
            dx[from.partner] += dout[which][at] * from.s;
        }
}
