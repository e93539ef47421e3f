// Philox 4x32-10 over 32 blocks side by side. The same numbers as core/rng.c's rng_word, which
// the tests demand; nothing here decides what a draw is keyed by.
#include "models/ops/draw_cpu.h"

#include <string.h>

enum { LANES = 32, WORDS = 4 * LANES };

static void draw_blocks(uint32_t out[WORDS], rng_key key, uint32_t sample, uint64_t block) {
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (uint32_t l = 0; l < LANES; l++) {
        c0[l] = (uint32_t)(block + l);
        c1[l] = sample;
        c2[l] = key.step;
        c3[l] = key.site ^ (uint32_t)((block + l) >> 32);
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            uint64_t p0 = (uint64_t)c0[l] * 0xD2511F53u, p1 = (uint64_t)c2[l] * 0xCD9E8D57u;
            c0[l] = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0;
            c1[l] = (uint32_t)p1;
            c2[l] = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c3[l] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int l = 0; l < LANES; l++) {
        out[4 * l] = c0[l];
        out[4 * l + 1] = c1[l];
        out[4 * l + 2] = c2[l];
        out[4 * l + 3] = c3[l];
    }
}

void draw_words_cpu(uint32_t *out, rng_key key, uint32_t sample, uint64_t first, int64_t count) {
    uint32_t words[WORDS];
    uint64_t block = first / 4;
    for (int64_t done = -(int64_t)(first % 4); done < count; done += WORDS, block += LANES) {
        int64_t from = done < 0 ? 0 : done, to = done + WORDS < count ? done + WORDS : count;
        draw_blocks(words, key, sample, block);
        memcpy(out + from, words + (from - done), (size_t)(to - from) * sizeof *out);
    }
}
