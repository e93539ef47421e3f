// One optimizer step of a run: what the training loop repeats and `bench classifier` times.
#pragma once
#include "train/run.h"

// What a step leaves behind on the device, for the host to read later.
typedef struct step_result {
    double norm;  // not finite: the update was left out
    double scale; // of the loss in the next step
    double values[1 + RUN_PARTS]; // the loss and its parts: f32 behind each other, or f64 on a double device
} step_result;

// A step that was recorded (core/device.h, graph_begin): of the batches with these sizes.
typedef struct step_graph {
    int64_t samples, own_samples, kind;
    int64_t seen; // steps of this kind so far: the first runs as it is, the second is recorded
    bool refused; // recording failed: such steps are launched one by one
    device_graph *graph;
} step_graph;

// The optimizer that the configuration's optim section describes, and what steps need. After run_build.
status step_open(run *r);
// Accepts a run whose steps were not opened.
void step_close(run *r);

// Takes the batch of the step r->step to the device.
status step_load(run *r);
// Launches that step and counts it: forward, backward, sum over ranks, clip and update with LR. Waits for
// nothing. A failure is of the device or of a collective: other ranks wait in vain. Where the device can, the
// second step with a batch of some size is recorded, and those after it replay it (run.graphs).
status step_launch(run *r, double lr);
// Waits for STEP (counted from 1), the latest or the one before it, and reads what it left behind.
void step_read(run *r, int64_t step, step_result *result);

// The loss (0) or its part I (from 1 on) in RESULT (host memory).
double step_value(const run *r, const step_result *result, int i);
