// Layer normalisation of single rows, for the CPU kernels that normalise. Formulas are those of
// layer_norm.c. For models/ops/*_cpu.c only.
#pragma once
#include "models/ops/ops_cpu.h"

enum { NORM_WIDTH = 8192 }; // the widest row that passes through the stack

// y (D) = (x - mean) rstd w + b, and the row's mean and rstd. y may be x.
void norm_row_cpu(float *y, float *mean, float *rstd, const float *x, const float *w,
                  const float *b, int64_t D, double eps);

// dx (D) = or += the gradient of a row (NULL: not wanted). Adds the row's part to dw and db (D).
void norm_row_back_cpu(float *dx, float *dw, float *db, const float *dy, const float *x,
                       const float *w, float mean, float rstd, int64_t D, int acc);

// dweight (D) = or += the sums of BLOCKS blocks of rows, in their order. partial (BLOCKS, 2, D):
// dweight, dbias.
void norm_sum_blocks_cpu(float *dweight, float *dbias, const float *partial, int64_t blocks,
                         int64_t D, int acc_weight, int acc_bias);
