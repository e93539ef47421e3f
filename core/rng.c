#include "core/rng.h"

#include <math.h>

void philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0, p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

uint32_t rng_site(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

uint32_t rng_word(rng_key key, uint32_t sample, uint64_t element) {
    // The block number's high part joins the site: no tensor here has 2^34 elements per sample, but
    // a wrapped counter would repeat draws in silence.
    uint64_t block = element / 4;
    uint32_t counter[4] = {(uint32_t)block, sample, key.step, key.site ^ (uint32_t)(block >> 32)};
    uint32_t words[2] = {(uint32_t)key.seed, (uint32_t)(key.seed >> 32)}, out[4];
    philox4x32(out, counter, words);
    return out[element % 4];
}

float rng_uniform(rng_key key, uint32_t sample, uint64_t element) {
    return (float)(rng_word(key, sample, element) >> 8) * 0x1p-24f;
}

uint32_t rng_below(rng_key key, uint32_t sample, uint64_t element, uint32_t n) {
    return (uint32_t)(((uint64_t)rng_word(key, sample, element) * n) >> 32);
}

float rng_normal(rng_key key, uint32_t sample, uint64_t element) {
    uint64_t pair = element & ~(uint64_t)1;
    double u = 1.0 - (double)rng_word(key, sample, pair) * 0x1p-32; // (0, 1]: its logarithm exists
    double angle = 2 * M_PI * (double)rng_word(key, sample, pair + 1) * 0x1p-32;
    double radius = sqrt(-2 * log(u));
    return (float)(radius * (element & 1 ? sin(angle) : cos(angle)));
}

void rng_shuffle(rng_key key, uint32_t *order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t i = count; i-- > 1;) {
        uint32_t j = rng_below(key, 0, i, i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

// Matsumoto and Nishimura 1998; the single-integer initialisation of 2002.
void mt19937_seed(mt19937 *g, uint32_t seed) {
    g->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++)
        g->state[i] = 1812433253u * (g->state[i - 1] ^ (g->state[i - 1] >> 30)) + i;
    g->next = 624;
}

static void mt19937_refill(mt19937 *g) {
    for (int i = 0; i < 624; i++) {
        uint32_t y = (g->state[i] & 0x80000000u) | (g->state[(i + 1) % 624] & 0x7fffffffu);
        g->state[i] = g->state[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    g->next = 0;
}

uint32_t mt19937_next(mt19937 *g) {
    if (g->next == 624) mt19937_refill(g);
    uint32_t y = g->state[g->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static float mt19937_unit(mt19937 *g) {
    return (float)(mt19937_next(g) & 0xffffff) * 0x1p-24f;
}

void mt19937_uniform(mt19937 *g, float *out, int64_t count, double from, double to) {
    float a = (float)from, b = (float)to;
    // One rounding: torch's kernels for CPUs with AVX2, which is where models were trained, contract
    // this to a fused multiply-add.
    for (int64_t i = 0; i < count; i++) out[i] = fmaf(mt19937_unit(g), b - a, a);
}
