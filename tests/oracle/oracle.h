// The oracle device: every kernel of ops.h and of optim/kernels.h in plain double loops, never
// optimised. The CPU's and CUDA's kernels are compared with it, gradients are checked on it, and
// whole models train on it in double.
#pragma once
#include "models/ops/ops.h"
#include "optim/kernels.h"

status device_open_oracle(device **out);

#define X(name, args) void name##_oracle args;
OP_KERNELS(X) OPTIM_KERNELS(X)
#undef X
#define X(name, args) size_t name##_oracle args;
OP_QUERIES(X)
#undef X
