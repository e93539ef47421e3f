// What the CPU kernels share. For models/ops/*_cpu.c only.
#pragma once
#include "core/tensor.h"

static inline void cpu_expect_f32(const char *op, dtype type) {
    if (type != DTYPE_F32) die("%s: the CPU kernel got %s, expected F32", op, dtype_name(type));
}

// Fixed blocks of a sum over ROWS: the result depends on the sizes alone, never on the threads.
enum { SUM_BLOCKS = 64 };
static inline int64_t block_start(int64_t count, int64_t block, int64_t blocks) {
    return count * block / blocks;
}
