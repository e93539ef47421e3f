#include "tests/oracle/oracle.h"

#include <math.h>

// Number I of the key (or value) of head H at position P, as a row of slot SLOT sees it.
static double *cached(const void *cache, const cached_shape *z, int64_t slot, int64_t h, int64_t p) {
    return (double *)cache + ((slot * z->HK + h) * z->P + p) * z->D;
}

static bool is_there(const cached_shape *z, int64_t n) {
    return z->slot[n] >= 0 && z->slot[n] < z->slots && z->position[n] >= 0 &&
           z->position[n] < z->P;
}

void cache_write_oracle(void *k_cache, void *v_cache, const void *k, const void *v,
                        const cached_shape *z, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t n = 0; n < z->N; n++)
        for (int64_t h = 0; h < z->HK && is_there(z, n); h++)
            for (int64_t d = 0; d < z->D; d++) {
                const int64_t from = (n * z->HK + h) * z->D + d;
                cached(k_cache, z, z->slot[n], h, z->position[n])[d] = ((const double *)k)[from];
                cached(v_cache, z, z->slot[n], h, z->position[n])[d] = ((const double *)v)[from];
            }
}

void attention_cached_forward_oracle(void *out, const void *q, const void *k_cache,
                                     const void *v_cache, const cached_shape *z, dtype type,
                                     void *scratch, stream *s) {
    (void)type, (void)s, (void)scratch;
    for (int64_t row = 0; row < z->N * z->HQ; row++) {
        const int64_t n = row / z->HQ, h = row % z->HQ / (z->HQ / z->HK);
        double *y = (double *)out + row * z->D, total = 0;
        const double *x = (const double *)q + row * z->D;
        for (int64_t d = 0; d < z->D; d++) y[d] = z->slot[n] < 0 || is_there(z, n) ? 0 : NAN;
        for (int64_t p = 0; is_there(z, n) && p <= z->position[n]; p++) {
            const int64_t slot = p < z->prefix ? z->prefix_slot : z->slot[n];
            double score = 0;
            for (int64_t d = 0; d < z->D; d++) score += x[d] * cached(k_cache, z, slot, h, p)[d];
            const double weight = exp(score * z->scale);
            total += weight;
            for (int64_t d = 0; d < z->D; d++) y[d] += weight * cached(v_cache, z, slot, h, p)[d];
        }
        for (int64_t d = 0; d < z->D && total > 0; d++) y[d] /= total;
    }
}

size_t attention_cached_scratch_oracle(const cached_shape *z, dtype type, stream *s) {
    (void)z, (void)type, (void)s;
    return 0;
}
