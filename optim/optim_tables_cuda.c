// The CUDA device's table, made from the list in optim/kernels.h.
#include "optim/kernels.h"

#define X(name, args) void name##_cuda args;
OPTIM_KERNELS(X)
#undef X

const struct optim_kernels optim_kernels_cuda = {
#define X(name, args) .name = name##_cuda,
    OPTIM_KERNELS(X)
#undef X
};
