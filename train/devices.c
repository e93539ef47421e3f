#include "train/devices.h"
#include "models/ops/ops.h"
#include "optim/kernels.h"
#include "train/cuda_device.h"

#include <omp.h>
#include <string.h>
#include <unistd.h>

static dtype type_of(const char *precision) {
    return !strcmp(precision, "bf16") ? DTYPE_BF16 : !strcmp(precision, "fp16") ? DTYPE_F16 : DTYPE_F32;
}

status cpu_device_open(device **out, dtype type, int threads) {
    if (type == DTYPE_F16)
        return status_fail(STATUS_USAGE, "--precision fp16: the CPU computes in f32 or bf16");
    status rc = type == DTYPE_F32 ? device_open_cpu(out, threads) : device_open_cpu_bf16(out, threads);
    if (rc) return rc;
    (*out)->ops = &op_kernels_cpu;
    (*out)->optim = &optim_kernels_cpu;
    return STATUS_OK;
}

// Cores over local ranks, within what a process manager has bound this process to. 0: the usual number.
static int own_threads(int asked, const launch *started) {
    if (asked || !started || started->local_size < 2) return asked;
    long cores = sysconf(_SC_NPROCESSORS_ONLN), share = cores / started->local_size;
    int bound = omp_get_num_procs();
    return share < 1 ? 1 : share < bound ? (int)share : bound;
}

status device_from_config(device **out, const config *c, const launch *started) {
    dtype type = type_of(config_text(c, "run.precision"));
    *out = NULL;
    if (strcmp(config_text(c, "run.device"), "cuda"))
        return cpu_device_open(out, type, own_threads((int)config_int(c, "run.threads"), started));
    return cuda_device_open(out, started ? started->local_rank : 0, type, config_bool(c, "run.tf32"));
}
