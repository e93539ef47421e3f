// Many draws at once, for the CPU's dropout kernels. For models/ops/*_cpu.c only.
#pragma once
#include "core/rng.h"

// out[i] = rng_word(key, sample, first + i). Four words come from one Philox block, and sixteen
// blocks are computed side by side: about ten times as fast as word by word.
void draw_words_cpu(uint32_t *out, rng_key key, uint32_t sample, uint64_t first, int64_t count);

// A word w is kept when rng_uniform of it is not below RATE, that is when w >> 8 >=
// draw_limit(RATE).
uint32_t draw_limit(double rate);
