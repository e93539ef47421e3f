// Products of small packed matrices of floats that lie in the caches, for the CPU's kernels. Files
// that include this are built with fused multiply-adds (CMakeLists.txt), which double what the
// products reach.
#pragma once
#include <stdint.h>
#include <string.h>

// A vector of the machine, at any address, and the block of sums that fills its registers.
#if defined __AVX512F__
enum { VECTOR = 16, BLOCK_ROWS = 8 };
#elif defined __AVX__
enum { VECTOR = 8, BLOCK_ROWS = 4 };
#else
enum { VECTOR = 4, BLOCK_ROWS = 4 };
#endif
typedef float vector __attribute__((vector_size(VECTOR * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

// By halves: in turn they would be as many additions that wait for each other.
INLINE float lanes_sum(vector x) {
    float lane[VECTOR];
    memcpy(lane, &x, sizeof lane);
    for (int n = VECTOR / 2; n; n /= 2)
#pragma omp simd
        for (int l = 0; l < n; l++) lane[l] += lane[l + n];
    return lane[0];
}

// ROWS x (VECTORS * VECTOR) sums; called with constants, so that all loops unroll.
INLINE void product_block(int rows, int vectors, float *c, int64_t c_row, const float *a,
                          int64_t a_row, int64_t a_column, const float *b, int64_t b_row,
                          int64_t inner, int add) {
    vector sum[BLOCK_ROWS][2] = {0};
    for (int64_t k = 0; k < inner; k++)
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] +=
                    a[r * a_row + k * a_column] * *(const vector *)(b + k * b_row + v * VECTOR);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            vector *to = (vector *)(c + r * c_row + v * VECTOR);
            if (add) sum[r][v] += *to;
            *to = sum[r][v];
        }
}

// c (rows, width) = a (rows, inner) b (inner, width), or += with ADD; width in vectors. a[i, k] is
// at i * a_row + k * a_column.
INLINE void product(float *c, int64_t c_row, const float *a, int64_t a_row, int64_t a_column,
                    const float *b, int64_t b_row, int64_t rows, int64_t width, int64_t inner,
                    int add) {
    const int64_t whole = rows - rows % BLOCK_ROWS;
    int64_t j = 0;
    for (; j + 2 * VECTOR <= width; j += 2 * VECTOR)
        for (int64_t i = 0; i < whole; i += BLOCK_ROWS)
            product_block(BLOCK_ROWS, 2, c + i * c_row + j, c_row, a + i * a_row, a_row, a_column,
                          b + j, b_row, inner, add);
    for (; j < width; j += VECTOR)
        for (int64_t i = 0; i < whole; i += BLOCK_ROWS)
            product_block(BLOCK_ROWS, 1, c + i * c_row + j, c_row, a + i * a_row, a_row, a_column,
                          b + j, b_row, inner, add);
    for (int64_t i = whole; i < rows; i++)
        for (j = 0; j < width; j += VECTOR)
            product_block(1, 1, c + i * c_row + j, c_row, a + i * a_row, a_row, a_column, b + j,
                          b_row, inner, add);
}
