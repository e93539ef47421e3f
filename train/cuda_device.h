// The GPU with the kernels of every floor: train/cuda_device.c in builds with CUDA, train/cuda_absent.c in
// others.
#pragma once
#include "core/device.h"
#include "core/gpu.h"

// INDEX as CUDA counts. USAGE where there is none, or this build has no CUDA.
status cuda_device_open(device **out, int index, dtype type, bool tf32);
