// What conv2d and norm_conv2d share on CUDA.
#pragma once
#include "models/ops/columns_cuda.cuh"
extern "C" {
#include "core/cuda/cudnn.h"
}

static inline cudnn_conv conv_of(const window_shape *z, dtype type) {
    return {z->B, z->H, z->W, z->C, z->O, z->OH, z->OW, z->K, z->stride, z->pad, type};
}
