// The CUDA device's table, made from the list in models/ops/kernels.h.
#include "models/ops/kernels.h"

#define X(name, args) void name##_cuda args;
OP_KERNELS(X)
OP_FUSED(X)
#undef X
#define X(name, args) size_t name##_cuda args;
OP_QUERIES(X)
OP_FUSED_QUERIES(X)
#undef X

const struct op_kernels op_kernels_cuda = {
#define X(name, args) .name = name##_cuda,
    OP_KERNELS(X) OP_FUSED(X) OP_QUERIES(X) OP_FUSED_QUERIES(X)
#undef X
};
