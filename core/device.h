// A device is a table of functions. Everything above floor 0 reaches the CPU, CUDA and (in tests) the
// double-precision oracle through it, so control flow is written once.
//
// Work is ordered by the device's stream. Kernels return nothing: what fails inside one is kept in the
// device (first failure wins) and asked for once per step with device_failed.
#pragma once
#include "core/memory.h"
#include "core/tensor.h"

struct op_kernels;    // models/ops/ops.h lists them; floor 0 only carries the pointer
struct optim_kernels; // optim/kernels.h
typedef struct stream stream; // what kernels get: threads and caches here, a CUDA stream there

enum { DEVICE_READS = 2, DEVICE_READ_BYTES = 64 };

typedef struct device device;
typedef struct device_graph device_graph;
struct device {
    const char *name; // "cpu", "oracle", ...
    dtype type;       // of matrices and activations
    bool dry;         // nothing is computed, addresses are made up: see device_open_dry
    struct stream *stream;
    const struct op_kernels *ops;
    const struct optim_kernels *optim;

    // Device memory, zeroed, aligned to 64 bytes.
    status (*take)(device *d, size_t bytes, const char *what, void **out);
    void (*release)(device *d, void *block);
    void (*upload)(device *d, void *to_device, const void *from_host, size_t bytes);
    // Waits until the bytes are in host memory.
    void (*download)(device *d, void *to_host, const void *from_device, size_t bytes);
    // The same in two halves: begin does not wait, end waits for these bytes alone and not for what was
    // launched since. SLOT is below DEVICE_READS, BYTES at most DEVICE_READ_BYTES.
    void (*read_begin)(device *d, int slot, const void *from_device, size_t bytes);
    void (*read_end)(device *d, int slot, void *to_host, size_t bytes);
    void (*copy)(device *d, void *to, const void *from, size_t bytes);
    void (*zero)(device *d, void *block, size_t bytes);
    void (*wait)(device *d); // until all work of the stream is done
    int64_t (*room)(device *d); // bytes that are free, -1: not known; NULL where its memory is the machine's
    void (*close)(device *d);

    // Work that is launched between graph_begin and graph_end is kept instead of done; graph_run does it, as
    // often as wanted, with the addresses and arguments it was launched with (a CUDA graph). Nothing in
    // between may touch host memory. All NULL where the device launches nothing: there a step is run again.
    void (*graph_begin)(device *d);
    status (*graph_end)(device *d, device_graph **out); // DEVICE where something in it cannot be kept
    void (*graph_run)(device *d, device_graph *g);
    void (*graph_close)(device *d, device_graph *g); // accepts NULL
    // What draws inside a graph are keyed by from now on: those outside carry it themselves.
    void (*graph_step)(device *d, uint32_t step, uint32_t first_sample);
};

// The CPU device in f32 with THREADS threads (0: one per core). The op and optimizer tables are set by
// whoever stands above (see device_install in models/ops/ops.h).
status device_open_cpu(device **out, int threads);
// The same in bf16. Where the CPU multiplies f32 faster it does so, and rounds what comes out (core/onednn.h).
status device_open_cpu_bf16(device **out, int threads);
void device_close(device *d); // accepts NULL

// The numbers of X as f32 in host memory, in pieces: allocates nothing.
void device_read(device *d, float *out, const tensor *x);

// The failure that a kernel met since the last call, as a status with its text; STATUS_OK if none.
status device_failed(device *d);

// --- for kernels of the CPU device ---------------------------------------------------------------
int stream_threads(const stream *s);
// Keeps RC and this thread's status_text unless an earlier failure is kept.
void stream_fail(stream *s, status rc);
