// Learning rates as pure functions of the optimizer step, which counts from 0. They hold no state,
// so resuming needs only the step.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stdint.h>

//  X(name in C, name in configurations)
#define SCHEDULE_LIST(X)                                                                           \
    /* lr, after a warm-up from 0 if warmup_steps > 0 */                                           \
    X(CONSTANT, "constant")                                                                        \
    /* warm-up from 0 over warmup_steps (the first update has lr 0), then linear to 0 at */        \
    /* total_steps: transformers' get_linear_schedule_with_warmup */                               \
    X(LINEAR, "linear")                                                                            \
    /* the same warm-up, then half a cosine per step to min_lr at total_steps: transformers' */    \
    /* get_cosine_schedule_with_warmup where min_lr is 0 */                                        \
    X(COSINE, "cosine")                                                                            \
    /* LAVIS linear_warmup_cosine_lr: in epoch 0 warm-up from warmup_lr to lr, then lr; in */      \
    /* epoch e > 0 half a cosine of e / max_epochs to min_lr, constant inside an epoch */          \
    X(LAVIS, "lavis")

typedef enum schedule_kind {
#define X(name, text) SCHEDULE_##name,
    SCHEDULE_LIST(X)
#undef X
} schedule_kind;

// What a kind does not use may be 0.
typedef struct schedule {
    schedule_kind kind;
    double lr;        // the peak
    double warmup_lr; // lavis: where its warm-up starts
    double min_lr;    // cosine, lavis
    int64_t warmup_steps;
    int64_t total_steps;     // linear, cosine
    int64_t steps_per_epoch; // lavis
    int64_t max_epochs;      // lavis
} schedule;

// USAGE, naming the kinds there are, if NAME is none of them.
status schedule_parse(const char *name, schedule_kind *out);
const char *schedule_name(schedule_kind kind);

// USAGE if the schedule lacks what its kind needs or a value makes no sense.
status schedule_check(const schedule *s);

// The learning rate of update STEP (0 is the first). At and after the end: 0 (linear), min_lr
// (cosine, lavis).
double schedule_lr(const schedule *s, int64_t step);
