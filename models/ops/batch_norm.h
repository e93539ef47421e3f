// What batch_norm and norm_conv2d share. For models/ops/*.c only.
#pragma once
#include "models/ops/ops.h"

enum { BN_X, BN_WEIGHT, BN_BIAS, BN_RESIDUAL, BN_INPUTS }; // of a recorded call

typedef struct batch_norm_saved {
    channel_norm norm; // its mean and rstd are this call's
    int64_t rows, C;
    bool batch, relu;
} batch_norm_saved;

// Numbers in a sum over rows: two per channel and the rows, which differ between ranks where a batch does
// not divide.
static inline int64_t batch_norm_sums_length(int64_t C) {
    return 2 * C + 1;
}

// Checks the arguments and settles mean and rstd; this batch's move the running statistics.
batch_norm_saved batch_norm_begin(tape *t, const char *op, const tensor *inp, const batch_norm_args *a);
// Room for sums over the rows of all ranks, which batch_norm_args take: whoever made them fills it and adds them up.
tensor *batch_norm_sums_tensor(tape *t, int64_t C);
// Gradients of the inputs IN from DY, that of the output Y. SUMS (may be NULL) are batch_norm_backward_sums', where
// they are known already; RELU false: DY stands before the ReLU.
void batch_norm_backward(tape *t, const batch_norm_saved *n, tensor *const *in, const void *dy, const void *y,
                         double *sums, bool relu);
