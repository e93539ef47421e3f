// The tables made from the list in optim/kernels.h: the CPU's kernels, kernels that do nothing,
// names.
#include "optim/kernels.h"

const struct optim_kernels optim_kernels_cpu = {
#define X(name, args) .name = name##_cpu,
    OPTIM_KERNELS(X)
#undef X
};

const char *const optim_kernel_names[] = {
#define X(name, args) #name,
    OPTIM_KERNELS(X)
#undef X
        NULL,
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define X(name, args)                                                                              \
    static void name##_dry args {}
OPTIM_KERNELS(X)
#undef X
#pragma GCC diagnostic pop

const struct optim_kernels optim_kernels_dry = {
#define X(name, args) .name = name##_dry,
    OPTIM_KERNELS(X)
#undef X
};
