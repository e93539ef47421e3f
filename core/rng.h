// Random numbers.
//
// Philox 4x32-10 (Salmon et al., SC 2011) draws everything that training draws. A number depends on
// (seed, site, step, global sample, element) alone, never on the rank, the thread, the micro-batch or
// on how many numbers were drawn before; so a step means the same on any number of ranks, and resuming
// needs no generator state.
//
// MT19937 follows torch's CPU generator number by number, for initial weights that must equal those of
// a PyTorch program with the same seed.
#pragma once
#include <stdint.h>

// Ten rounds over COUNTER with KEY. The four words are independent and uniform.
void philox4x32(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

// A place that draws: SITE names it (rng_site of a constant string), STEP is the optimizer step, the
// epoch, or 0.
typedef struct rng_key {
    uint64_t seed;
    uint32_t site;
    uint32_t step;
} rng_key;

// The number of a site's name (FNV-1a).
uint32_t rng_site(const char *name);

// The word of ELEMENT of global SAMPLE. Elements 4i to 4i+3 come from one Philox block.
uint32_t rng_word(rng_key key, uint32_t sample, uint64_t element);
// Uniform in [0, 1), 24 bits.
float rng_uniform(rng_key key, uint32_t sample, uint64_t element);
// Uniform in [0, N), N > 0, without bias beyond 2^-32 * N.
uint32_t rng_below(rng_key key, uint32_t sample, uint64_t element, uint32_t n);
// Standard normal (Box-Muller on the two numbers of elements 2i and 2i+1 of this stream).
float rng_normal(rng_key key, uint32_t sample, uint64_t element);
// A permutation of 0..count-1 in ORDER (Fisher-Yates).
void rng_shuffle(rng_key key, uint32_t *order, uint32_t count);

typedef struct mt19937 {
    uint32_t state[624];
    int next;
} mt19937;

void mt19937_seed(mt19937 *g, uint32_t seed);
uint32_t mt19937_next(mt19937 *g);
// As torch.empty(count).uniform_(from, to) on a CPU with AVX2, float32, bit by bit.
void mt19937_uniform(mt19937 *g, float *out, int64_t count, double from, double to);
