#include "train/cuda_device.h"
#include "core/cuda/device_cuda.h"
#include "models/ops/kernels.h"
#include "optim/kernels.h"

status cuda_device_open(device **out, int index, dtype type, bool tf32) {
    cuda_options o = {.index = index, .type = type, .tf32 = tf32};
    status rc = device_open_cuda(out, &o);
    if (rc) return rc;
    (*out)->ops = &op_kernels_cuda;
    (*out)->optim = &optim_kernels_cuda;
    return STATUS_OK;
}
