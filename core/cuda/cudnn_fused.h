// Convolutions of cuDNN together with the parts of batch norm beside them, so that an image goes
// through memory once less: what NVIDIA's engines take of a residual network's step. Ask
// cudnn_fused_takes first: in fp16 all of it exists on sm_80 and later, in bf16 and f32 only parts,
// and nothing here falls back.
//
// Sizes, images and weights are those of core/cuda/cudnn.h. "Norm" is one channel's scale and bias.
// Failures are kept in the stream.
#pragma once
#include "core/cuda/cudnn.h"

#define CUDNN_FUSED_LIST(X)                                                                        \
    X(CONV_STATS, "convolution, statistics")                                                       \
    X(NORM_CONV_STATS, "norm, ReLU, convolution, statistics")                                      \
    X(NORM_BACKWARD_WEIGHT, "norm, ReLU, convolution's weight gradient")                           \
    X(BACKWARD_INPUT_NORM, "convolution's input gradient, ReLU's and batch norm's gradients")      \
    X(CONV_NORM_RELU, "convolution, norm, ReLU")

typedef enum cudnn_fused {
#define X(name, text) CUDNN_##name,
    CUDNN_FUSED_LIST(X)
#undef X
        CUDNN_FUSED_COUNT
} cudnn_fused;

bool cudnn_fused_takes(cudnn_fused what, const cudnn_conv *z, stream *s);
size_t cudnn_fused_scratch(cudnn_fused what, const cudnn_conv *z, stream *s);

// out = the convolution of inp; sum (O) and squares (O): of out and of its square over (B,OH,OW).
void cudnn_conv_stats(void *out, float *sum, float *squares, const void *inp, const void *weight,
                      const cudnn_conv *z, void *scratch, stream *s);
// The same of max(0, inp scale + bias): scale (C) and bias (C) are of the images' type.
void cudnn_norm_conv_stats(void *out, float *sum, float *squares, const void *inp,
                           const void *scale, const void *bias, const void *weight,
                           const cudnn_conv *z, void *scratch, stream *s);
// The weight's gradient where the convolution saw max(0, inp scale + bias). dweight is of the
// images' type.
void cudnn_norm_backward_weight(void *dweight, const void *dout, const void *inp, const void *scale,
                                const void *bias, const cudnn_conv *z, void *scratch, stream *s);

// What the convolution saw was max(0, y) with y = (inp - mean) inverse scale + bias. Writes dy
// (B,H,W,C), the gradient of y, and what batch norm wants of it: dscale and dbias (C); the gradient
// of inp is then of_dy dy + of_x inp + constant, each (C).
typedef struct cudnn_norm_gradient {
    void *dy;
    float *dscale, *dbias, *of_dy, *of_x, *constant;
} cudnn_norm_gradient;

typedef struct cudnn_norm {
    const float *mean, *inverse, *scale, *bias; // (C) each; inverse: 1 / sqrt(variance + epsilon)
} cudnn_norm;

void cudnn_backward_input_norm(const cudnn_norm_gradient *out, const void *dout, const void *weight,
                               const void *inp, const cudnn_norm *n, const cudnn_conv *z,
                               void *scratch, stream *s);
// out = max(0, convolution scale + bias), scale (O) and bias (O): inference.
void cudnn_conv_norm_relu(void *out, const void *inp, const void *weight, const float *scale,
                          const float *bias, const cudnn_conv *z, void *scratch, stream *s);
