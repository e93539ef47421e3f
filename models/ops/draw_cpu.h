// Many draws at once, for the CPU's dropout kernels. For models/ops/*_cpu.c only.
#pragma once
#include "core/rng.h"

// out[i] = rng_word(key, sample, first + i). Four words come from one Philox block, and 32
// blocks are computed side by side: about ten times as fast as word by word.
void draw_words_cpu(uint32_t *out, rng_key key, uint32_t sample, uint64_t first, int64_t count);
