// The tape: remembers which ops ran on what, and runs their backward rules in reverse.
//
// It knows no op. Model code calls ops from top to bottom with the tape as first argument; an op
// computes at once and records itself. A tape that does not record is inference. Memory of a step
// lives in two device blocks sized by a dry run (same calls, kernels that do nothing): a stack of
// activations and a heap of their gradients. Failures are sticky: after one, ops go on with kernels
// that do nothing and the loop asks tape_failed once per step.
#pragma once
#include "core/arena.h"
#include "core/comm.h"
#include "core/device.h"
#include "core/rng.h"
#include "models/tape/space.h"

typedef struct tape tape;
typedef struct tape_node tape_node;

// Adds to (or writes) the gradients of node->in from the gradients of node->out.
typedef void (*tape_rule)(tape *t, const tape_node *node);

struct tape_node {
    const char *op;
    tape_rule rule;
    void *saved; // what the rule needs beyond inputs and outputs; tape_keep'd
    tensor **in, **out;
    int ins, outs;
    tape_node *previous;
    bool always; // the rule runs even where no output matters: it counts uses of parameters
};

struct tape {
    device *device; // the one to use: the real one, or the dry one (dry run, or after a failure)
    comm *comm;
    bool training;  // batch statistics, dropout
    bool recording; // set by tape_begin, switched off for inference
    bool replaying; // a checkpoint region is being run again: leave running statistics alone

    // What this step's draws are keyed by.
    uint64_t seed;
    uint32_t step;
    uint32_t first_sample; // the global number of this rank's first sample
    uint32_t draws;        // how many sites have drawn in this step

    // Called after each rule has run, if set: tests (mutations) and profilers look in here.
    void (*observe)(void *context, tape *t, const tape_node *node);
    void *observe_context;
    // Called when the last recorded use of a parameter has run backward: its sum over ranks may
    // start.
    void (*parameter_ready)(void *context, gradient *g);
    void *ready_context;

    // Private.
    struct device *real, *dry;
    arena nodes;
    space activations, gradients;
    void *activation_block, *gradient_block;
    tape_node *last;
    bool checkpointing; // regions keep only their outputs
    bool counting;      // a region's first run: nothing is recorded, uses of parameters are counted
    bool wanted;        // a call met an input that wants a gradient; regions ask for their inside
};

typedef struct tape_size {
    size_t activations, gradients; // bytes on the device
} tape_size;

// DRY has REAL's stream and type but kernels and transfers that do nothing (device_open_dry). Both
// and COMM are borrowed. The tape starts in dry-run mode.
status tape_init(tape *t, device *real, device *dry, comm *c);
void tape_free(tape *t);

// The most a dry run (or, later, a real one) has used since tape_init or tape_allocate.
tape_size tape_used(const tape *t);
// Ends the dry run: takes blocks of these sizes from the device.
status tape_allocate(tape *t, tape_size size);

// Starts a step: forgets all nodes and activations. RECORD false: inference.
void tape_begin(tape *t, bool record);
// The first failure of this step: memory, device, or a kernel's.
status tape_failed(tape *t);

// Runs all rules back from LOSS (one element), whose gradient is SCALE.
void tape_backward(tape *t, tensor *loss, float scale);
// The same from a gradient that is on the device, in the loss's type: the loss scale of the step, which a
// recorded step must not take from the host.
void tape_backward_from(tape *t, tensor *loss, const void *seed);

// --- for ops -------------------------------------------------------------------------------------
// A new activation, not initialised. Its type is the device's.
tensor *tape_tensor(tape *t, int rank, const int64_t *dim);
tensor *tape_tensor_of(tape *t, dtype type, int rank, const int64_t *dim);
// A view with other dimensions and the same number of elements: shares data and gradient.
tensor *tape_view(tape *t, tensor *x, int rank, const int64_t *dim);
// Host memory until the next tape_begin, zeroed.
void *tape_keep(tape *t, size_t bytes);
// Device memory that is given back by tape_scratch_end: begin, take, launch, end.
size_t tape_scratch_begin(tape *t);
void *tape_scratch(tape *t, size_t bytes); // NULL for 0 bytes
void tape_scratch_end(tape *t, size_t mark);

// Remembers the call if the tape records and any input wants a gradient; the outputs then want one
// too. Inputs may be NULL (optional arguments). SAVED is the op's own struct or NULL.
void tape_record(tape *t, const char *op, tape_rule rule, void *saved, tensor *const *out, int outs,
                 tensor *const *in, int ins);
// Whether a call on these inputs would be recorded: an op asks before it saves what only its rule
// needs.
bool tape_wants(const tape *t, tensor *const *in, int ins);

// Where a rule puts X's gradient, in X's type: NULL if none is wanted; *ACCUMULATE tells to add (1) or
// write (0). Counts as the touch: call once per rule and input, and fill all of it. Dies where the
// gradient has another type: a matrix of parameters has a wide one in narrow precisions.
void *tape_gradient(tape *t, tensor *x, int *accumulate);
// The same of a weight, or of what stands for one: in x->grad's own type.
void *tape_weight_gradient(tape *t, tensor *x, int *accumulate);
// The gradient of an output, complete when a rule runs.
const void *tape_output_gradient(const tensor *y);

// The key of the next draw of this step.
rng_key tape_draw(tape *t);

// --- regions (tape_region.c) ---------------------------------------------------------------------
// Runs BODY, which makes OUTS tensors from INS tensors and whatever CONTEXT points at (which must
// live until the backward pass). Of all that the body takes, only the outputs stay: in inference
// always; when recording only with checkpointing on, where the backward pass runs the body again.
// An output may be an input, or another output's view; outputs stay valid, other tensors and views
// made inside do not.
typedef void (*tape_body)(tape *t, const void *context, tensor **out, tensor *const *in);
void tape_region(tape *t, tape_body body, const void *context, tensor **out, int outs,
                 tensor *const *in, int ins);
// Trade time for memory: regions keep only their outputs while recording.
void tape_checkpointing(tape *t, bool on);
