// Kernels with faults, each of which the shim must find.
#pragma once
#include "core/device.h"

enum planted_fault {
    PLANTED_NONE,            // correct: the sum of a block
    PLANTED_RACE,            // two threads write one place
    PLANTED_MISSING_BARRIER, // a number is read that another thread writes, without a barrier between
    PLANTED_READ_RACE,       // a number is written while another thread reads it
    PLANTED_NEVER_WRITTEN,   // a number is read that nobody wrote
    PLANTED_OUTSIDE_SHARED,  // an index behind a shared array
    PLANTED_SKIPPED_BARRIER, // half of the threads end before a barrier
    PLANTED_TWO_BARRIERS,    // two halves wait at barriers of their own
    PLANTED_MISSING_LANE,    // a shuffle without the last lane
    PLANTED_OUTSIDE,         // a write behind the output
    PLANTED_READ_OUTSIDE,    // a read behind the input
    PLANTED_ORDER,           // blocks add to one place in their order
    PLANTED_LARGE_BLOCK,     // 1056 threads
    PLANTED_MUCH_SHARED,     // 64 KB
};

#ifdef __cplusplus
extern "C"
#endif
// out (1): the sum of inp (64).
void planted_run(float *out, const float *inp, enum planted_fault fault, stream *s);
