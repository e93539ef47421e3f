// A device of the host's memory whose stream is a CUDA stream without CUDA. See tests/shim/shim.h.
#include "tests/shim/shim.h"
#include "core/cuda/stream.h"
#include "core/memory.h"
#include "models/ops/kernels.h"
#include "optim/kernels.h"

#include <stdio.h>
#include <string.h>

typedef struct shim_device {
    device device;
    cuda_stream stream;
    step_numbers now;
} shim_device;

static void shim_close(device *d) {
    mem_free(d->stream->cuda->partials);
    mem_free(d->stream);
    mem_free(d);
}

// What a launch reports is a bug; the functions below belong to core/cuda/device_cuda.c on a real device.
void cuda_check_at(stream *s, cudaError_t error, const char *what, const char *file, int line) {
    (void)s;
    if (error != cudaSuccess) die("%s: %d (%s:%d)", what, (int)error, file, line);
}

status device_open_shim(device **out, dtype type) {
    device *host = NULL;
    shim_device *d = NULL;
    status rc = device_open_cpu(&host, 1);
    if (!rc) rc = mem_new(&d, 1, "a shim device");
    if (!rc) rc = mem_new(&d->device.stream, 1, "a stream");
    if (!rc) rc = mem_new(&d->stream.partials, CUDA_PARTIALS, "sums");
    if (rc) return rc;
    stream *own = d->device.stream;
    d->device = *host; // its memory functions know no more than host memory
    d->device.stream = own;
    d->device.name = "shim";
    d->device.type = type;
    d->device.ops = &op_kernels_cuda;
    d->device.optim = &optim_kernels_cuda;
    d->device.close = shim_close;
    device_close(host);
    own->threads = 1;
    own->cuda = &d->stream;
    d->stream.sm = 90;
    d->stream.multiprocessors = 132;
    d->stream.now = &d->now;
    *out = &d->device;
    return STATUS_OK;
}

bool shim_rounds_factors(void) {
    return false;
}

void shim_record(device *d, bool recording, uint32_t step, uint32_t first_sample) {
    d->stream->cuda->recording = recording;
    *d->stream->cuda->now = (step_numbers){step, first_sample};
}
