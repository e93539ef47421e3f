// Dropout of one packed row, for the CPU kernels that drop on their way. For models/ops/*_cpu.c
// only.
#pragma once
#include "models/ops/kernels.h"

// y[i] = base[i] + x[i] m for elements FIRST to FIRST + N of row R of z->rows, N at most ROW. base
// NULL: nothing is added. y may be base or x.
void dropout_row_cpu(float *y, const float *base, const float *x, const dropout_shape *z, int64_t r,
                     int64_t first, int64_t n);
