// What a run takes of its device's memory, part by part, known before the first step: the training
// loop prints and takes it, `radialog plan` shows it. One list makes the parts, their sum and their
// names.
#pragma once
#include "train/run.h"

// X(member, words for people): bytes on the device of one rank.
#define MEMORY_PARTS(X)                                                                            \
    X(parameters, "trained parameters")                                                            \
    X(narrow, "their copies in the type to compute with")                                          \
    X(gradients, "their gradients")                                                                \
    X(moments, "the optimizer's moments")                                                          \
    X(optimizer, "the optimizer's sums and counters")                                              \
    X(frozen, "frozen parameters")                                                                 \
    X(buffers, "running statistics and constants")                                                 \
    X(batch, "the batch")                                                                          \
    X(validation, "validation: writing and judging answers")                                       \
    X(activations, "activations")                                                                  \
    X(scratch, "scratch of kernels and libraries")                                                 \
    X(activation_gradients, "gradients of activations")                                            \
    X(results, "a step's result")

// Host memory of a rank beside all that is counted: the program, its libraries and what they prepare.
enum { PROGRAM_BYTES = 256 << 20 };

typedef struct memory_plan {
#define X(name, words) size_t name;
    MEMORY_PARTS(X)
#undef X
} memory_plan;

size_t memory_plan_total(const memory_plan *p);

// Goes through a training step and a validation batch with kernels that do nothing, and says what
// they and the rest of R need. After the stage's setup and step_open and before tape_allocate.
// Errors: TRAINING (nothing would train), and the stage's.
status memory_plan_make(memory_plan *out, run *r);

// One line for the log.
void memory_plan_log(const memory_plan *p);

// --- without a run (train/memory_plan_device.c) --------------------------------------------------
// Opens R as run_open does, but as rank 0 of RANKS, whose slice is the largest, and on a device
// that takes no memory: addresses are made up, kernels and transfers do nothing. REAL: whose kernels
// are asked for their scratch, borrowed; NULL: one that the configuration asks for. Closed by
// run_close.
status memory_plan_open(run *r, const stage *s, config *c, device *real, int ranks);
// Bytes that R's device has been asked for since then.
size_t memory_plan_asked(const run *r);
// All of it: opens, goes through the stage and the dry run, closes. LOADER: host memory of reading
// ahead.
status memory_plan_of(memory_plan *out, size_t *loader, const stage *s, config *c, device *real,
                      int ranks);
