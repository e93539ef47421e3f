// Rows of bf16 numbers to floats and back, for the CPU's kernels. Loops that compilers turn into vector
// code on any instruction set.
#pragma once
#include "core/tensor.h"

#include <string.h>

// What core/tensor.h's bf16_to_float and bf16_from_float do, inline and without branches.
static inline float bf16_widen(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t bf16_round(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    // To the nearest, ties to even; NaN stays NaN whatever is cut off.
    uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1), quiet = bits | 0x400000;
    return (uint16_t)(((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16);
}

static inline void floats_from_bf16(float *restrict to, const uint16_t *restrict from, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] = bf16_widen(from[i]);
}

static inline void bf16_from_floats(uint16_t *restrict to, const float *restrict from, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] = bf16_round(from[i]);
}
