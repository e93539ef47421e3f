// What the ops attention and attention_rows share, defined in attention.c. For these two files
// only.
#pragma once
#include "models/ops/ops.h"

// Kept from the call until its rule runs.
typedef struct attention_saved {
    attention_shape z;
    attention_tensors x;
} attention_saved;

// Launch the kernels, with scratch around them.
void attention_run(tape *t, const attention_saved *saved);
void attention_run_back(tape *t, const attention_saved *saved, const attention_gradients *g);
// Z's dropout of RATE with a key of its own, if the tape is training.
void attention_drop(tape *t, attention_shape *z, double rate);
