// A whole model's step on one device against the same step on another: what tests of the CUDA kernels in models share.
#pragma once
#include "tests/models/helper_reference.h"

// What a step gave, as doubles.
typedef struct outcome {
    double loss, *output; // and one more of the model's results
    int64_t outputs;
    double **gradient; // one per parameter, of the loss as it is; NULL where none was given
} outcome;

// A step of M: BODY's loss, what *OUTPUT then is, and back. CHANGE: a rule that is wrong.
void outcome_take(outcome *o, reference_model *m, reference_body body, void *context, tensor **output,
                  rule_mutation *change);
void outcome_free(outcome *o, const reference_model *m);

// The CUDA kernels in TYPE (tests/shim/shim.h), or ON_CPU the CPU's, with their tables.
device *outcome_device(dtype type, bool on_cpu);

// Relative errors: of the loss, the output, all gradients as one vector, and the worst tensor's gradient.
typedef struct distance {
    double loss, output, gradient, tensor;
    const char *worst;
} distance;

// IDLE (may be NULL): a part of the names of parameters whose gradients are zero but for roundings, and are measured
// against all gradients.
distance distance_between(const outcome *a, const outcome *b, const params *p, const char *idle);
bool distance_within(const distance *d, const distance *limit);
// Prints the distance; fails the test if it is not within LIMIT.
void expect_near(const outcome *a, const outcome *b, const params *p, const char *idle, const distance *limit,
                 const char *title);

// A kind of model to be compared: two of them, not yet open, and what to do with one.
typedef struct outcome_case {
    const char *title;
    void *want, *got;
    reference_model *want_base, *got_base; // inside of them
    void (*open)(void *model, device *d);  // with its batch
    void (*take)(outcome *o, void *model, rule_mutation *change);
    void (*close)(void *model);
    const char *idle;  // as above
    const char *wrong; // the op whose first input's rule is made wrong
} outcome_case;
// Fails the test if a step with the CUDA kernels, or ON_CPU the CPU's, in TYPE is further than LIMIT from the oracle's;
// or, where LIMIT is tight, if one with a rule that is 1 % off is not.
void outcome_compare(const outcome_case *c, dtype type, bool on_cpu, const distance *limit);
