// The host shim as tests see it: a device whose kernels are the CUDA kernels' own source, run on the CPU
// (tests/shim/include/cuda_shim.h says how), with plain loops in place of cuBLAS and cuDNN.
#pragma once
#include "core/device.h"

#ifdef __cplusplus
extern "C" {
#endif

// TYPE: f32, bf16 or f16. Memory is the host's. Its tables are those of the CUDA device.
status device_open_shim(device **out, dtype type);

// Blocks, and the threads of each, run last to first: results must be the same bits.
void shim_reverse(bool reverse);

// What a launch does wrong ends the program with the text. Between these two calls it is kept instead and
// the kernel goes on where it can: for the shim's own tests. The first text, empty if there was none.
void shim_catch(void);
const char *shim_caught(void);

// Whether products of f32 round their factors to tf32: never here. tests/gpu/ puts a GPU in the shim's place,
// which may be asked to.
bool shim_rounds_factors(void);

// A step is recorded or not: what draws are keyed by inside (core/cuda/stream.h).
void shim_record(device *d, bool recording, uint32_t step, uint32_t first_sample);

// How often an exported kernel (NAME_cuda) has run in this process.
int64_t shim_calls(const char *function);

#ifdef __cplusplus
}
#endif
