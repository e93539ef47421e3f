// What the ranks of a run do together beside the sums inside a step: agree on failures, begin with the same
// bytes. Rank 0 alone writes files and talks; the others work in silence.
#pragma once
#include "train/run.h"

// Whether this process writes the run's files.
bool ranks_lead(const run *r);

// All ranks call it at the same place: OK where all are. Else every rank fails: the first that has a reason
// keeps it, the others get ELSEWHERE, which nobody prints.
status ranks_agree(comm *c, status rc);
// The same, and the largest VALUE of any rank.
status ranks_agree_value(comm *c, status rc, int *value);

// NUMBERS (COUNT) in host memory become the sums over ranks. What each rank has of its own rows, with zeros
// elsewhere, becomes all rows, exactly.
status ranks_sum(comm *c, device *d, float *numbers, int64_t count);
// USAGE, on all ranks, unless all were started with the same configuration, but for keys of their machines: each
// would train a model of its own and believe that it is the same.
status ranks_agree_config(const run *r);
// The same for the data's hash and the vocabulary, once the stage has read them.
status ranks_agree_data(const run *r);

// Rank 0's parameters, buffers, moments, optimizer state and place in the run go to all ranks.
status ranks_share(run *r);
// Its parameters and buffers alone.
status ranks_share_weights(run *r);
