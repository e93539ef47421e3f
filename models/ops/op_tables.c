// The tables made from the list in models/ops/kernels.h: the CPU's kernels, kernels that do nothing,
// names.
#include "models/ops/ops.h"

#include <string.h>

const struct op_kernels op_kernels_cpu = {
#define X(name, args) .name = name##_cpu,
    OP_KERNELS(X) OP_QUERIES(X)
#undef X
};

const char *const op_kernel_names[] = {
#define X(name, args) #name,
    OP_KERNELS(X)
#undef X
        NULL,
};

const char *const op_fused_names[] = {
#define X(name, args) #name,
    OP_FUSED(X)
#undef X
        NULL,
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define X(name, args)                                                                              \
    static void name##_dry args {}
OP_KERNELS(X)
OP_FUSED(X)
#undef X
#pragma GCC diagnostic pop

static status dry_take(device *d, size_t bytes, const char *what, void **out) {
    (void)d, (void)bytes, (void)what;
    *out = NULL;
    return STATUS_OK;
}

static void dry_release(device *d, void *block) {
    (void)d, (void)block;
}

static void dry_transfer(device *d, void *to, const void *from, size_t bytes) {
    (void)d, (void)to, (void)from, (void)bytes;
}

static void dry_read_begin(device *d, int slot, const void *from, size_t bytes) {
    (void)d, (void)slot, (void)from, (void)bytes;
}

static void dry_read_end(device *d, int slot, void *to, size_t bytes) {
    (void)d, (void)slot, (void)to, (void)bytes;
}

static void dry_zero(device *d, void *block, size_t bytes) {
    (void)d, (void)block, (void)bytes;
}

static void dry_wait(device *d) {
    (void)d;
}

typedef struct dry_device {
    device device;
    struct op_kernels ops;
} dry_device;

static void dry_close(device *d) {
    mem_free(d);
}

status device_open_dry(device **out, device *real) {
    dry_device *dry;
    status rc = mem_new(&dry, 1, "a dry device");
    if (rc) return rc;
    dry->ops = *real->ops; // keeps the queries
#define X(name, args) dry->ops.name = name##_dry;
    OP_KERNELS(X)
    if (real->ops->conv2d_fused_scratch) {
        OP_FUSED(X)
    }
#undef X
    dry->device = *real;
    dry->device.name = "dry";
    dry->device.dry = true;
    dry->device.ops = &dry->ops;
    dry->device.take = dry_take;
    dry->device.release = dry_release;
    dry->device.upload = dry->device.copy = dry_transfer;
    dry->device.download = dry_transfer;
    dry->device.read_begin = dry_read_begin;
    dry->device.read_end = dry_read_end;
    dry->device.zero = dry_zero;
    dry->device.wait = dry_wait;
    dry->device.close = dry_close;
    dry->device.graph_begin = NULL; // nothing is launched, so nothing can be kept
    dry->device.graph_end = NULL;
    dry->device.graph_run = NULL;
    dry->device.graph_close = NULL;
    dry->device.graph_step = NULL;
    *out = &dry->device;
    return STATUS_OK;
}
