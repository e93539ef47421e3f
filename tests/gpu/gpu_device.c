// The GPU in the shim's place (tests/shim/shim.h): programs that are linked with this file instead run the
// kernels as nvcc compiled them, with cuBLAS and cuDNN. Where there is no GPU they say so and are counted as
// skipped (status 77); with RADIALOG_REQUIRE_GPU set they fail. RADIALOG_TEST_TF32: products of f32 round
// their factors to tf32.
#include "core/cuda/device_cuda.h"
#include "core/cuda/stream.h"
#include "core/gpu.h"
#include "models/ops/kernels.h"
#include "optim/kernels.h"
#include "tests/shim/shim.h"

#include <stdio.h>
#include <stdlib.h>

// Before main, so that no test program needs to know.
__attribute__((constructor)) static void look_for_gpu(void) {
    char reason[256];
    if (gpu_count(reason, sizeof reason)) return;
    printf("skipped: no GPU (%s)\n", reason);
    exit(getenv("RADIALOG_REQUIRE_GPU") ? EXIT_FAILURE : 77);
}

bool shim_rounds_factors(void) {
    return getenv("RADIALOG_TEST_TF32") != NULL;
}

status device_open_shim(device **out, dtype type) {
    cuda_options o = {.type = type, .tf32 = type == DTYPE_F32 && shim_rounds_factors()};
    status rc = device_open_cuda(out, &o);
    if (rc) return rc;
    (*out)->ops = &op_kernels_cuda;
    (*out)->optim = &optim_kernels_cuda;
    return STATUS_OK;
}

// A GPU takes blocks in an order of its own: two runs must give the same bits all the same.
void shim_reverse(bool reverse) {
    (void)reverse;
}

void shim_record(device *d, bool recording, uint32_t step, uint32_t first_sample) {
    d->graph_step(d, step, first_sample);
    d->stream->cuda->recording = recording;
}
