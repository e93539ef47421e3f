// What conv2d and norm_conv2d share. For models/ops/*.c only.
#pragma once
#include "models/ops/ops.h"

typedef struct conv2d_saved {
    window_shape z;
    size_t scratch;
} conv2d_saved;

// Checks the arguments.
window_shape conv2d_shape(const tensor *inp, const tensor *weight, int stride, int pad);
void conv2d_rule(tape *t, const tape_node *node);
