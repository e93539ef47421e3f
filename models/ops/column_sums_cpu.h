// Sums over the rows of a matrix, for bias gradients. For models/ops/*_cpu.c only.
#pragma once
#include "core/tensor.h"

// sums (C) = the sum over rows of inp (rows, C), whose rows are STRIDE elements of TYPE apart, + what
// is there if acc. The order of the additions depends on the sizes alone.
void column_sums_cpu(float *sums, const void *inp, int64_t rows, int64_t C, int64_t stride, int acc,
                     dtype type);
