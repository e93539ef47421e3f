// Runs one case of op_check on one of the tests' devices: its inputs in guarded blocks, a tape that poisons what it
// gives out and guards its end, the loss over the op's outputs, and a rule that is wrong on purpose.
#pragma once
#include "tests/ops/helper_op_check.h"

typedef struct run_result {
    double *output; // (count)
    int64_t count;
    double *gradient[OP_MAX_INPUTS]; // NULL where none is wanted
    double loss;                     // sum of weight * output over all uses
} run_result;

void result_free(run_result *r);

// VALUES: one array of numbers for each input. The op runs USES times on them (1 or 2), and back once if BACKWARD.
// MUTATED: the input whose gradient is scaled by 1.01 as it is written; -1: none. Fails the test where the op
// writes outside of its outputs and gradients, or leaves a gradient unwritten.
run_result run_case(const op_case *c, double *const *values, int which, int uses, bool backward, int mutated);

// An input in the device's memory with a guarded gradient, of the device's type or of the wide one.
typedef struct leaf {
    tensor x;
    gradient g;
    char *block;
    size_t bytes;
} leaf;

// A case that is ready to run on a device: its inputs and a tape with room for it, poisoned for its first run.
typedef struct prepared {
    const op_case *c;
    device *device;
    leaf leaves[OP_MAX_INPUTS];
    tape tape;
} prepared;

void prepare(prepared *p, const op_case *c, double *const *values, int which, int uses, bool backward);
void prepared_close(prepared *p);

// The loss with other VALUES, forward alone.
double loss_at(prepared *p, double *const *values);
