#include "tests/oracle/oracle.h"
#include "core/stream.h"

static const struct op_kernels op_kernels_oracle = {
#define X(name, args) .name = name##_oracle,
    OP_KERNELS(X) OP_QUERIES(X)
#undef X
};

static const struct optim_kernels optim_kernels_oracle = {
#define X(name, args) .name = name##_oracle,
    OPTIM_KERNELS(X)
#undef X
};

// The CPU device with other kernels and another type: memory and transfers are the host's for both.
status device_open_oracle(device **out) {
    status rc = device_open_cpu(out, 0);
    if (rc) return rc;
    (*out)->name = "oracle";
    (*out)->type = DTYPE_F64;
    (*out)->ops = &op_kernels_oracle;
    (*out)->optim = &optim_kernels_oracle;
    return STATUS_OK;
}
