// How many rows a step computes at a time, where train.pack_tokens is 0: as many as memory allows. What a step
// means does not depend on it (train/language_data.h).
//
// Activations of all rows are kept if that fits with the longest conversation at least; where it does not,
// train.recompute is switched on and regions of layers keep their outputs alone.
#pragma once
#include "train/memory_plan.h"

enum { PACK_UNKNOWN = 4096 }; // rows where nobody knows what is free

typedef struct pack_limits {
    int64_t longest; // tokens of a conversation: no fewer rows
    int64_t most;    // of a rank's share of a batch: no more rows
    int64_t room;    // bytes that the run may take on the device of each rank
} pack_limits;

// Of FREE bytes, those of the program itself taken off, what a run may take: 80 % of a machine's, which others use as
// well (CUDA false), 95 % of a card's, where libraries take some of their own.
int64_t pack_room(int64_t free, bool cuda);

// Sets train.pack_tokens, a multiple of 64, and train.recompute of C, by plans for rank 0 of RANKS. REAL: as
// memory_plan_of. *FITS false: the least that there is, and it takes more than ROOM. Errors: those of plans.
status pack_choose(bool *fits, const stage *s, config *c, device *real, int ranks, const pack_limits *l);

// For a training whose configuration leaves the choice open, before anything is taken of the device: what the run in
// R->dir began with, where it has checkpoints, else what fits now; the same on all ranks. LONGEST: tokens of a
// conversation. Logs it in a line. Errors: MEMORY, where nothing fits.
status pack_settle(run *r, int64_t longest);
