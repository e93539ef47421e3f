// Dropout of packed rows, for the CUDA kernels that drop on their way. For models/ops/*_cuda.cu.
#pragma once
#include "models/ops/ops_cuda.cuh"

typedef struct row_dropout {
    const int32_t *rows; // (rows, 2) = {sample, position}
    int64_t D;
    draw_source source;
    uint32_t limit;
    float scale;

    // x (V) are the numbers of row R from column C on.
    template <int V> __device__ __forceinline__ void apply(float (&x)[V], int64_t r, int64_t c) const {
        const int32_t sample = rows[2 * r], position = rows[2 * r + 1];
        uint32_t words[V];
        if (sample < 0) return;
        draw_source d = draw_now(source);
        d.first_sample = 0; // numbers of samples are global in the map
        draw_words(words, d, (uint32_t)sample, (uint64_t)(position * D + c));
        UNROLL for (int v = 0; v < V; v++) x[v] = words[v] >> 8 >= limit ? x[v] * scale : 0;
    }
} row_dropout;

static inline row_dropout row_dropout_from(const dropout_shape *z, const stream *s) {
    return {z->rows, z->per_sample, draw_from(z->key, 0, s), draw_limit(z->rate), (float)(1 / (1 - z->rate))};
}
