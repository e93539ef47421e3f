// Sizes of quantised weights that the devices' kernels share. For models/ops/*_cpu.c and *_cuda.cu
// only.
#pragma once
#include "core/e4m3.h"
#include "models/ops/kernels.h"

// Up to so many rows of x a weight's codes are read by the product itself; for more of them tiles
// of the weight are made plain first.
enum { QUANTISED_FEW = 16, QUANTISED_TILE = 32 << 20 };

// Rows of the weight in a tile. The last tile never is a single row, which is a column of the output with others beside
// it: oneDNN 3.7 writes that as if nothing stood there.
static inline int64_t quantised_tile(const quantised *q, int64_t N, int64_t K, dtype type) {
    int64_t rows = q->tile > 0 ? q->tile : QUANTISED_TILE / (K * (int64_t)dtype_size(type));
    if (rows < 1) rows = 1;
    if (rows >= N) return N;
    while (rows > 2 && N % rows == 1) rows--;
    return rows;
}

static inline size_t quantised_tile_bytes(const quantised *q, int64_t N, int64_t K, dtype type) {
    return ((size_t)(quantised_tile(q, N, K, type) * K) * dtype_size(type) + 63) / 64 * 64;
}

// Where the weight is FP8: room for x (M, K) or dout (M, N) as rounded to E4M3, in TYPE, which holds that exactly (f16
// but for what is far below a row's largest).
static inline size_t quantised_rounded_bytes(const quantised *q, int64_t M, int64_t N, int64_t K, dtype type) {
    if (q->how != QUANT_FP8) return 0;
    return ((size_t)(M * (N > K ? N : K)) * dtype_size(type) + 63) / 64 * 64;
}
