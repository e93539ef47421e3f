// One optimizer step of a run: what the training loop repeats and `bench classifier` times.
#pragma once
#include "train/run.h"

// What a step leaves behind on the device, for the host to read later.
typedef struct step_result {
    double norm;
    double loss; // in its first bytes: f32, or f64 on a double device
} step_result;

// The optimizer that the configuration's optim section describes. After run_build.
status step_open_optimizer(run *r);

// Launches the step r->step with the stage's next batch, and counts it: forward, backward, sum over
// ranks, clip and update with LR. RESULT is on the device. Reads nothing back.
status step_run(run *r, step_result *result, double lr);

// The loss in RESULT (host memory).
double step_loss(const run *r, const step_result *result);
