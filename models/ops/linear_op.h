// The product of a linear layer and its gradients, for the ops that have one inside. For
// models/ops/*.c only.
#pragma once
#include "models/ops/ops.h"

typedef struct linear_size {
    int64_t M, N, K;
    size_t scratch;
} linear_size;

// The output (..., N) for checked shapes of inp (..., K), weight (N, K), bias (N) or NULL; OP is
// named where one is wrong.
tensor *linear_output(tape *t, const char *op, tensor *inp, tensor *weight, tensor *bias);
// y = x W^T + b. Fills Z, which the rule needs.
void linear_compute(tape *t, linear_size *z, tensor *y, const tensor *x, const tensor *weight,
                    const tensor *bias);
// All three gradients, of those that want one; returns where x's is, or NULL. There may be no rows.
void *linear_back(tape *t, const linear_size *z, tensor *y, tensor *x, tensor *weight,
                  tensor *bias);
