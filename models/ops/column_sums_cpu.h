// Sums over the rows of a matrix, for bias gradients. For models/ops/*_cpu.c only.
#pragma once
#include <stdint.h>

// sums (C) = the sum over rows of inp (rows, C), + what is there if acc. The order of the additions
// depends on the sizes alone.
void column_sums_cpu(float *sums, const float *inp, int64_t rows, int64_t C, int acc);
