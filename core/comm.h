// Ranks: collectives over a group of processes that train together. "single" is this process alone,
// "mpi" (core/mpi.c) joins CPU devices, "nccl" (core/cuda/nccl.c) GPUs; core/launch.h tells how the
// processes were started. No collective is our own.
//
// Calls are made by all ranks in the same order with the same sizes, in place on all or none. They return
// nothing: the first failure is kept, with the operation and its sequence number, later calls do nothing,
// and whoever trains asks comm_failed once per step. On a dry device every call does nothing.
// Sums: the same ranks, sizes and values give the same bytes, in every run and on every rank.
#pragma once
#include "core/device.h"
#include "core/launch.h"

typedef struct comm comm;
struct comm {
    const char *name; // "single", "mpi", "nccl"
    int rank, size;
    // Sums COUNT elements of TYPE over all ranks in place, in stream order. F32 and F64 add in their own
    // precision; BF16 and F16 round after each addition; integers wrap.
    void (*all_reduce_sum)(comm *c, void *data, int64_t count, dtype type, device *d);
    // The same without waiting: DATA holds what the stream has written when this is called, and is not
    // touched by anyone until all_reduce_finish. Sums are taken in the order of their starts, and
    // other collectives may come between.
    void (*all_reduce_start)(comm *c, void *data, int64_t count, dtype type, device *d);
    // What the stream does from here on comes after all sums that were started.
    void (*all_reduce_finish)(comm *c, device *d);
    // RECV (size * count elements) gets every rank's SEND in rank order. SEND may be its own place in
    // RECV (recv + rank * count elements); otherwise the two do not overlap.
    void (*all_gather)(comm *c, void *recv, const void *send, int64_t count, dtype type, device *d);
    // RECV (count elements) gets this rank's part of the sum over ranks of SEND (size * count), added as
    // in all_reduce_sum. RECV may be its own place in SEND, which then holds nothing else of use.
    void (*reduce_scatter)(comm *c, void *recv, const void *send, int64_t count, dtype type,
                           device *d);
    void (*broadcast)(comm *c, void *data, size_t bytes, int root, device *d);
    void (*barrier)(comm *c); // of the hosts
    // The largest VALUE of any rank, in host memory: stop signals are agreed with it. Does not wait for
    // what the device computes.
    int (*agree_max)(comm *c, int value);
    // Ends all ranks with exit status 1.
    void (*abort)(comm *c);
    void (*close)(comm *c);

    int64_t sequence; // collectives begun so far
    status failed;
    char text[512];
};

status comm_open_single(comm **out);
// The communicator for D of the processes that L tells of (launch_read): single, MPI for the CPU, NCCL for
// CUDA. A collective that takes longer than WATCHDOG_SECONDS ends all ranks (core/watchdog.h); 0: never.
// Errors: USAGE (this build has no MPI, or was started in a way that does not join these devices);
// DEVICE.
status comm_open(comm **out, const launch *l, device *d, double watchdog_seconds);
// To be called by all ranks, after success or where all agree to stop. Accepts NULL.
void comm_close(comm *c);

// The first failure of a collective, as a status with its text; STATUS_OK if none.
status comm_failed(comm *c);
// For a rank that cannot go on while the others do: prints "radialog: rank R of N: TEXT" and ends all
// ranks with exit status 1. Returns only from the single rank, without a word: there nobody waits.
void comm_abort(comm *c, const char *text);

// The part of N items that rank RANK of SIZE takes: N / SIZE, and the first N % SIZE ranks take one more.
// *FIRST (may be NULL) is the number of items of the ranks before it.
int64_t comm_share(int64_t n, int rank, int size, int64_t *first);

// --- for the files behind the table ------------------------------------------------------------------
status comm_open_mpi(comm **out, const launch *l, double watchdog_seconds);
status comm_open_nccl(comm **out, const launch *l, device *d, double watchdog_seconds);
// Keeps "OPERATION N, rank R of S: REASON" unless an earlier failure is kept.
void comm_fail(comm *c, const char *operation, const char *reason);
