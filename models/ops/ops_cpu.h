// What the CPU kernels share: numbers of either type as floats, and blocks of sums. For
// models/ops/*_cpu.c only.
//
// Kernels compute in f32 (sums in double). Rows of bf16 pass through a buffer in the first-level
// cache on their way, so that each loop is written once; rows of f32 are used where they lie.
#pragma once
#include "core/bf16.h"

static inline void cpu_expect(const char *op, dtype type) {
    if (type != DTYPE_F32 && type != DTYPE_BF16)
        die("%s: the CPU kernel got %s, expected F32 or BF16", op, dtype_name(type));
}

// Fixed blocks of a sum over ROWS: the result depends on the sizes alone, never on the threads.
enum { SUM_BLOCKS = 64 };
static inline int64_t block_start(int64_t count, int64_t block, int64_t blocks) {
    return count * block / blocks;
}

// --- rows of either type -------------------------------------------------------------------------
enum { ROW = 1024 }; // a usual size of buffers

// The address of element AT.
static inline void *element(const void *data, int64_t at, dtype type) {
    return (void *)((uintptr_t)data + (size_t)at * dtype_size(type)); // of NULL too: nobody uses it
}

// N elements of DATA from AT on, as floats: in place, or in BUFFER, which holds N.
static inline const float *row_read(float *buffer, const void *data, int64_t at, int64_t n,
                                    dtype type) {
    if (type == DTYPE_F32) return (const float *)data + at;
    floats_from_bf16(buffer, (const uint16_t *)data + at, n);
    return buffer;
}

// Where to put them; with ACC what is there already can be read. Ended by row_end.
static inline float *row_begin(float *buffer, void *data, int64_t at, int64_t n, int acc,
                               dtype type) {
    if (type == DTYPE_F32) return (float *)data + at;
    if (acc) floats_from_bf16(buffer, (const uint16_t *)data + at, n);
    return buffer;
}

static inline void row_end(void *data, int64_t at, const float *row, int64_t n, dtype type) {
    if (type == DTYPE_BF16) bf16_from_floats((uint16_t *)data + at, row, n);
}

// What is left of N from FIRST on, at most ROW.
static inline int64_t row_length(int64_t first, int64_t n) {
    return n - first < ROW ? n - first : ROW;
}

// One number. In loops that are compiled for each type (TYPED) the choice costs nothing.
static inline float number_read(const void *data, int64_t at, dtype type) {
    return type == DTYPE_F32 ? ((const float *)data)[at] : bf16_widen(((const uint16_t *)data)[at]);
}

static inline void number_write(void *data, int64_t at, float value, dtype type) {
    if (type == DTYPE_F32)
        ((float *)data)[at] = value;
    else
        ((uint16_t *)data)[at] = bf16_round(value);
}

// For a function whose last parameter is a type that it is always called with as a constant.
#define TYPED static inline __attribute__((always_inline))
