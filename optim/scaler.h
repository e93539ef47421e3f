// The dynamic loss scale of fp16 training as a state machine, equal to torch's GradScaler: it only
// says by what to multiply the loss. Whether a step's gradients were finite is the optimizer's norm
// to say.
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct scaler {
    double scale; // multiply the loss by it, the gradients by 1 / it
    double growth, backoff;
    int64_t interval;   // good steps in a row before it grows; 0: the scale never changes
    int64_t good_steps; // since it last changed; a checkpoint saves this and scale
} scaler;

// 65536, x2 after 2000 good steps in a row, x0.5 after a bad one.
scaler scaler_new(void);
// 1 for ever: what f32 and bf16 train with.
scaler scaler_none(void);

// After a step whose gradients were FINITE or not. Stays within the normal range of f32.
void scaler_update(scaler *s, bool finite);
