// The twin of scripts/golden/{draws,reference}.py: weights, images and targets drawn by the same hash,
// models of the same sizes, and the comparison "within t". For tests only: what is missing stops
// the program.
#pragma once
#include "core/files/safetensors.h"
#include "models/classifier.h"

extern const classifier_config reference_full;  // the paper's
extern const classifier_config reference_small; // the same architecture, SMALL in reference.py
extern const classifier_config reference_tiny;  // the same again, as small as it goes; no golden file has it

// In [0, 1), 24 bits; depends on (NAME, INDEX) alone.
double reference_uniform(const char *name, int64_t index);

// A classifier on a device (the CPU in f32, the oracle in f64, or another), its weights and statistics drawn.
typedef struct reference_model {
    device *device, *dry;
    comm *comm;
    params params;
    tape tape;
    classifier model;
    float scale; // of the loss: reference_run's gradients are as many times as large; 1 from open
} reference_model;

device *reference_device(bool oracle);
void reference_open(reference_model *m, bool oracle, const classifier_config *c);
// The same on D, which belongs to M from now on and has its tables.
void reference_open_on(reference_model *m, device *d, const classifier_config *c);
// All but a model, for tests of other ones: they declare theirs, then params_allocate and reference_fill.
void reference_begin(reference_model *m, device *d);
void reference_close(reference_model *m);
// Draws all weights and statistics again.
void reference_fill(reference_model *m);

// (B, S, S, 1) with S of the model's configuration, in the tape's activations.
tensor *reference_image(reference_model *m, const char *name, int64_t B);
// The classifier's loss of (B, classes) logits against drawn targets, with the drawn class weights.
tensor *reference_loss(reference_model *m, tensor *logits, const char *target);

// Sizes the tape by a dry run of BODY, then runs it; with BACKWARD also back from the loss that
// BODY returns. Keeps the tape's training flag, checkpointing and observer.
typedef tensor *(*reference_body)(reference_model *m, void *context);
tensor *reference_run(reference_model *m, reference_body body, void *context, bool backward);

// A backward rule that is wrong: where OP writes the gradient of its input INPUT, it is scaled
// by 1.01. For a tape's observer, with the mutation as its context; OP NULL: nothing.
typedef struct rule_mutation {
    const char *op;
    int input;
} rule_mutation;
void rule_mutate(void *mutation, tape *t, const tape_node *node);

// The values of a tensor as doubles, freed with mem_free.
double *reference_values(const tensor *x); // in host memory
double *reference_read(const reference_model *m, const tensor *x);
double *reference_gradient(const reference_model *m, const param *q); // file order

// A golden tensor; ROW (of the first dimension) or all of it for -1. Freed with mem_free.
double *golden_tensor(const safetensors *file, const char *name, int64_t row, int64_t *count);

// ||a - b|| / ||b||; infinite if ||b|| is zero. Compare with <=, so that NaN fails.
double reference_error(const double *a, const double *b, int64_t count);
