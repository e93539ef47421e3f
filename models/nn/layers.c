#include "models/nn/layers.h"

#include <math.h>

init init_torch_default(int64_t fan_in) {
    return (init){INIT_UNIFORM, 1 / sqrt((double)fan_in)};
}

init init_he_fan_out(int64_t K, int64_t O) {
    return (init){INIT_NORMAL, sqrt(2.0 / (double)(K * K * O))};
}

static tensor *bias_add(params *p, const char *layer, int64_t count, init how, int64_t fan_in) {
    char name[NAME_SIZE];
    bool default_rule = how.kind == INIT_UNIFORM;
    return param_add(p, PARAM_WEIGHT, name_in(name, layer, "bias"),
                     default_rule ? init_torch_default(fan_in) : (init){INIT_ZERO, 0}, 1, &count);
}

linear_layer linear_make(params *p, const char *layer, int64_t K, int64_t N, bool bias, init how) {
    char name[NAME_SIZE];
    linear_layer l = {0};
    l.weight = param_add(p, PARAM_WEIGHT, name_in(name, layer, "weight"), how, 2, (int64_t[]){N, K});
    if (bias) l.bias = bias_add(p, layer, N, how, K);
    return l;
}

tensor *linear_run(tape *t, const linear_layer *l, tensor *x) {
    return linear(t, x, l->weight, l->bias);
}

conv_layer conv_make(params *p, const char *layer, int64_t C, int64_t O, int K, int stride, int pad,
                     bool bias, init how) {
    char name[NAME_SIZE];
    conv_layer l = {.stride = stride, .pad = pad};
    l.weight = param_add_conv(p, name_in(name, layer, "weight"), how, O, K, C);
    if (bias) l.bias = bias_add(p, layer, O, how, C * K * K);
    return l;
}

tensor *conv_run(tape *t, const conv_layer *l, tensor *x) {
    return conv2d(t, x, l->weight, l->bias, l->stride, l->pad);
}

static tensor *vector_add(params *p, param_role role, const char *layer, const char *part, int64_t C,
                          init_kind kind) {
    char name[NAME_SIZE];
    return param_add(p, role, name_in(name, layer, part), (init){.kind = kind}, 1, &C);
}

batch_norm_layer batch_norm_make(params *p, const char *layer, int64_t C) {
    return (batch_norm_layer){
        .weight = vector_add(p, PARAM_WEIGHT, layer, "weight", C, INIT_ONE),
        .bias = vector_add(p, PARAM_WEIGHT, layer, "bias", C, INIT_ZERO),
        .running_mean = vector_add(p, PARAM_BUFFER, layer, "running_mean", C, INIT_ZERO),
        .running_var = vector_add(p, PARAM_BUFFER, layer, "running_var", C, INIT_ONE),
    };
}

batch_norm_args batch_norm_of(const batch_norm_layer *l, bool batch) {
    return (batch_norm_args){
        .weight = l->weight,
        .bias = l->bias,
        .running_mean = l->running_mean,
        .running_var = l->running_var,
        .eps = 1e-5,
        .momentum = 0.1,
        .batch = batch,
    };
}

tensor *batch_norm_run(tape *t, const batch_norm_layer *l, tensor *x, tensor *residual, bool relu_after,
                       bool batch) {
    batch_norm_args a = batch_norm_of(l, batch);
    a.residual = residual;
    a.relu = relu_after;
    return batch_norm(t, x, a);
}

layer_norm_layer layer_norm_make(params *p, const char *layer, int64_t D, double eps) {
    return (layer_norm_layer){
        .weight = vector_add(p, PARAM_WEIGHT, layer, "weight", D, INIT_ONE),
        .bias = vector_add(p, PARAM_WEIGHT, layer, "bias", D, INIT_ZERO),
        .eps = eps,
    };
}

tensor *layer_norm_run(tape *t, const layer_norm_layer *l, tensor *x) {
    return layer_norm(t, x, l->weight, l->bias, l->eps);
}
