// Stands in for core/cuda/nccl.c where the CUDA device is not built.
#include "core/comm.h"

status comm_open_nccl(comm **out, const launch *l, device *d, double watchdog_seconds) {
    (void)l, (void)d, (void)watchdog_seconds;
    *out = NULL;
    return status_fail(STATUS_USAGE, "the program was built without CUDA, so there is no NCCL");
}
