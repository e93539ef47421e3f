// What the CUDA device's stream is made of: for core/cuda/ and for kernels (*_cuda.cu). Plain C, also in
// C++; the only header of ours, beside core/cuda/intrin.cuh, that brings CUDA's own.
#pragma once
#include "core/stream.h"
#include <cuda_runtime_api.h>

struct cublas;
struct cudnn;

// What changes from step to step and is read by draws inside a recorded step (a CUDA graph), where
// arguments stay what they were when it was recorded.
typedef struct step_numbers {
    uint32_t step;
    uint32_t first_sample;
} step_numbers;

// Numbers in the stream's room for sums that kernels take in two stages: 8 MB.
enum { CUDA_PARTIALS = 1 << 20 };

typedef struct cuda_stream {
    cudaStream_t handle;
    int index;           // of the device, as CUDA counts
    int sm;              // compute capability: 75, 80, 90, ...
    int multiprocessors;
    bool tf32;           // products of f32 may round their factors to tf32
    bool recording;      // a step is being recorded: draws read NOW instead of their key
    step_numbers *now;   // on the device
    double *partials;    // (CUDA_PARTIALS) on the device; a kernel's own from its first launch to its last
    struct cublas *cublas; // core/cuda/cublas.h; opened with the device
    struct cudnn *cudnn;   // core/cuda/cudnn.h; opened with the device
} cuda_stream;

static inline cuda_stream *stream_cuda(const stream *s) {
    return s->cuda;
}

// Keeps a failure of a CUDA call or launch in the stream: WHAT is the call's text or the kernel's name.
void cuda_check_at(stream *s, cudaError_t error, const char *what, const char *file, int line);
#define CUDA_CHECK(s, call) cuda_check_at((s), (call), #call, __FILE__, __LINE__)
// As a status with what CUDA says; for calls outside kernels.
status cuda_status(cudaError_t error, const char *what);
