// Sums of gradients over the ranks, begun while the backward pass still runs: parameters stand in buckets of
// neighbours, and a bucket's sum starts when the last use of its last parameter has run back (Li et al. 2020,
// PyTorch Distributed, section 3.2.3). Which bucket starts when depends on the model alone, so all ranks agree.
#pragma once
#include "models/nn/params.h"
#include "optim/adamw.h"

typedef struct buckets buckets;

// P is allocated; BYTES is the least a bucket holds (the last may hold less). P and T are borrowed; T has the
// ranks, and the device: in a dry run nothing is summed.
status buckets_open(buckets **out, const params *p, const tape *t, size_t bytes);
void buckets_close(buckets *b); // accepts NULL

// A step begins.
void buckets_begin(buckets *b);
// tape.parameter_ready: CONTEXT is the buckets.
void buckets_ready(void *context, gradient *g);
// Starts what is left of the slices that the step has touched, and has the stream wait for all sums.
void buckets_finish(buckets *b, const optim_slice *slices, int n);
