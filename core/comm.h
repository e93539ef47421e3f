// Ranks: collectives over a group of processes. This version has the single rank; MPI and NCCL fill the
// same table. Calls are made by all ranks in the same order with the same sizes.
#pragma once
#include "core/device.h"

typedef struct comm comm;
struct comm {
    const char *name; // "single", ...
    int rank, size;
    // Sums COUNT elements of TYPE (f32 or f64) over all ranks in place, in stream order.
    void (*all_reduce_sum)(comm *c, void *data, int64_t count, dtype type, device *d);
    // RECV (size * count elements) gets every rank's SEND in rank order.
    void (*all_gather)(comm *c, void *recv, const void *send, int64_t count, dtype type, device *d);
    // RECV gets this rank's part of the sum over ranks of SEND (size * count elements).
    void (*reduce_scatter)(comm *c, void *recv, const void *send, int64_t count, dtype type,
                           device *d);
    void (*broadcast)(comm *c, void *data, size_t bytes, int root, device *d);
    void (*barrier)(comm *c);
    // The largest VALUE of any rank, in host memory: stop signals are agreed with it.
    int (*agree_max)(comm *c, int value);
    void (*close)(comm *c);
};

status comm_open_single(comm **out);
void comm_close(comm *c); // accepts NULL
