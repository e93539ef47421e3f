// Products of a few rows with a weight, as in decoding: the weight is read once, at the speed of
// the memory, and numbers in few bits are made floats on the way. For models/ops/*_cpu.c only.
#pragma once
#include "models/ops/kernels.h"

enum { FEW_ROWS = 16 }; // the most

// N numbers of row ROW (of K) from column FIRST on, as floats, bit by bit what models/nn/quantise.c says (no
// multiplication is fused with an addition there); FIRST is a multiple of 64. In linear_quantised_cpu.c.
void quantised_read(float *to, const quantised *q, int64_t row, int64_t K, int64_t first,
                    int64_t n);

// Whether linear's forward product of this size is taken from the library's hands.
bool few_rows_take(int64_t M, int64_t N, int64_t K, dtype type);
// out (M, N) = inp (M, K) weight (N, K)^T, + bias (N) unless NULL. SCRATCH holds few_rows_scratch bytes; in f32 it is
// not used.
size_t few_rows_scratch(int64_t M, int64_t K);
void few_rows_linear(void *out, const void *inp, const void *weight, const float *bias, int64_t M, int64_t N,
                     int64_t K, dtype type, void *scratch);

// The same with a quantised weight, any M up to FEW_ROWS and any K.
void few_rows_quantised(void *out, const void *inp, const quantised *q, const float *bias, int64_t M, int64_t N,
                        int64_t K, dtype type, void *scratch);
