// Ops and a network made for tests of the tape alone: small, on the CPU, with whole shapes known.
#pragma once
#include "tests/ops/helper_tape.h"

// y = a * b, element by element.
tensor *toy_multiply(tape *t, tensor *a, tensor *b);
// out[0] = 2 x, out[1] = 3 x: one call, two outputs.
void toy_split(tape *t, tensor **out, tensor *x);
// The sum of all elements, weighted by 1, 2, 3, 1, 2, ...
tensor *toy_sum(tape *t, tensor *x);

// A chain of blocks x + attention(dropout(gelu(layer_norm(x) + table))), the table shared by all.
enum {
    TOY_BLOCKS = 20,
    TOY_B = 8,
    TOY_T = 12,
    TOY_D = 16,
    TOY_PARAMETERS = 2 * TOY_BLOCKS + 1,
    TOY_COUNT = TOY_B * TOY_T * TOY_D, // numbers in an activation
    TOY_MOST = TOY_T * TOY_D           // numbers in a parameter, at most
};

// How blocks are put into regions: not at all, each in its own, or halves of halves down to one.
typedef enum toy_regions { TOY_PLAIN, TOY_FLAT, TOY_HALVES } toy_regions;

typedef struct toy_model {
    tensor parameter[TOY_PARAMETERS];
    gradient slot[TOY_PARAMETERS];
    float value[TOY_PARAMETERS][TOY_MOST], grad[TOY_PARAMETERS][TOY_MOST];
    // Filled by toy_ready.
    int ready[TOY_PARAMETERS];
    float at_ready[TOY_PARAMETERS][TOY_MOST];
    tensor input;
    float x[TOY_COUNT];
} toy_model;

void toy_open(toy_model *m, bool frozen);
// Before a step: gradients are unwritten and full of NaN.
void toy_clear(toy_model *m);
// A tape.parameter_ready with the model as context.
void toy_ready(void *context, gradient *g);
// The first BLOCKS blocks.
tensor *toy_run(tape *t, const toy_model *m, toy_regions regions, int blocks);
