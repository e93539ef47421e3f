// The CUDA device: one GPU behind the table of core/device.h, its libraries opened with it.
#pragma once
#include "core/device.h"

typedef struct cuda_options {
    int index;  // of the GPU, as CUDA counts those that CUDA_VISIBLE_DEVICES leaves
    dtype type; // f32, bf16 or f16
    bool tf32;  // f32 products may round their factors to tf32
} cuda_options;

// USAGE where there is no such GPU or it cannot compute in the type; DEVICE where a driver or library is
// missing, with what to install. Kernels' tables are set by whoever stands above.
status device_open_cuda(device **out, const cuda_options *o);
