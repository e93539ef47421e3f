// Layers: an op with its parameters, declared under the names of PyTorch's state dictionaries.
#pragma once
#include "models/nn/params.h"

typedef struct linear_layer {
    tensor *weight, *bias; // (N, K), (N) or NULL
} linear_layer;
// HOW begins the weight; the bias (if any) begins at zero when HOW is INIT_TRUNCATED or INIT_NORMAL,
// else as torch's default U(-1/sqrt(K), 1/sqrt(K)).
linear_layer linear_make(params *p, const char *name, int64_t K, int64_t N, bool bias, init how);
tensor *linear_run(tape *t, const linear_layer *l, tensor *x);
// torch's default for linear layers and convolutions: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
init init_torch_default(int64_t fan_in);

typedef struct conv_layer {
    tensor *weight, *bias; // (O, K, K, C), (O) or NULL
    int stride, pad;
} conv_layer;
conv_layer conv_make(params *p, const char *name, int64_t C, int64_t O, int K, int stride, int pad,
                     bool bias, init how);
tensor *conv_run(tape *t, const conv_layer *l, tensor *x);
// He et al. 2015, mode fan_out: N(0, sqrt(2 / (K K O))), as torchvision's ResNet.
init init_he_fan_out(int64_t K, int64_t O);

typedef struct batch_norm_layer {
    tensor *weight, *bias, *running_mean, *running_var; // (C)
} batch_norm_layer;
batch_norm_layer batch_norm_make(params *p, const char *name, int64_t C);
// eps 1e-5, momentum 0.1. RESIDUAL may be NULL.
tensor *batch_norm_run(tape *t, const batch_norm_layer *l, tensor *x, tensor *residual, bool relu,
                       bool batch);
// What an op takes of the layer: no residual, no ReLU.
batch_norm_args batch_norm_of(const batch_norm_layer *l, bool batch);

typedef struct layer_norm_layer {
    tensor *weight, *bias; // (D)
    double eps;
} layer_norm_layer;
layer_norm_layer layer_norm_make(params *p, const char *name, int64_t D, double eps);
tensor *layer_norm_run(tape *t, const layer_norm_layer *l, tensor *x);
