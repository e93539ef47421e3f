#include "train/devices.h"
#include "models/ops/ops.h"
#include "optim/kernels.h"

#include <string.h>

status device_from_config(device **out, const config *c) {
    const char *name = config_text(c, "run.device"), *precision = config_text(c, "run.precision");
    int threads = (int)config_int(c, "run.threads");
    *out = NULL;
    if (strcmp(name, "cpu"))
        return status_fail(STATUS_USAGE, "--device %s: this build computes on the CPU only (--device cpu)",
                           name);
    if (!strcmp(precision, "fp16"))
        return status_fail(STATUS_USAGE, "--precision fp16: the CPU computes in f32 or bf16");
    status rc = strcmp(precision, "bf16") ? device_open_cpu(out, threads)
                                          : device_open_cpu_bf16(out, threads);
    if (rc) return rc;
    (*out)->ops = &op_kernels_cpu;
    (*out)->optim = &optim_kernels_cpu;
    return STATUS_OK;
}
