// All that kernels use beyond plain C++: launches, shared memory, barriers, shuffles, and the conversions of
// narrow numbers. Kernels (*_cuda.cu) take these from here and use no PTX, no CUB and no <<<>>> of their own,
// because every name below has a twin in tests/shim/cuda_shim.h that runs the same kernel source on the CPU:
// there RADIALOG_SHIM is defined and the build finds the twins.
//
// Warps act whole: every lane takes part in a shuffle, so blocks are multiples of 32 threads.
#pragma once
#ifdef RADIALOG_SHIM
#include <cuda_shim.h>
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif
extern "C" {
#include "core/cuda/stream.h"
}

// Numbers of 16 bits as they lie in memory. Arithmetic is done in float.
struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

#ifdef RADIALOG_SHIM
static inline float widen(bf16 x) {
    return bf16_to_float(x.bits);
}
static inline float widen(f16 x) {
    return f16_to_float(x.bits);
}
static inline void narrow_to(bf16 *to, float x) {
    to->bits = bf16_from_float(x);
}
static inline void narrow_to(f16 *to, float x) {
    to->bits = f16_from_float(x);
}
#else
static __device__ __forceinline__ float widen(bf16 x) {
    return __uint_as_float((uint32_t)x.bits << 16);
}
static __device__ __forceinline__ float widen(f16 x) {
    return __half2float(__ushort_as_half(x.bits));
}
static __device__ __forceinline__ void narrow_to(bf16 *to, float x) {
    to->bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
}
static __device__ __forceinline__ void narrow_to(f16 *to, float x) {
    to->bits = __half_as_ushort(__float2half_rn(x));
}

// A launch of KERNEL (in parentheses where it has commas) on GRID blocks of BLOCK threads; nothing where GRID
// is empty. NAME is told with a failure.
#define LAUNCH(s, name, kernel, grid, block, ...)                                                            \
    do {                                                                                                     \
        const dim3 launch_grid = (grid), launch_block = (block);                                             \
        if (launch_grid.x && launch_grid.y && launch_grid.z) {                                               \
            kernel<<<launch_grid, launch_block, 0, stream_cuda(s)->handle>>>(__VA_ARGS__);                   \
            cuda_check_at((s), cudaGetLastError(), (name), __FILE__, __LINE__);                              \
        }                                                                                                    \
    } while (0)

// Before a loop of constant length whose body wants its numbers in registers.
#define UNROLL _Pragma("unroll")

// Every exported kernel function begins with this: the tests count the calls of each.
#define KERNEL_BEGIN(s) (void)(s)

// COUNT elements of TYPE, shared by the block, aligned to 16 bytes. Passed on as shared_array<type>, which is
// indexed and moved with +; shared_load4 and shared_store4 take four neighbours at once, which begin at a multiple
// of four.
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
template <class T> using shared_array = T *;

static __device__ __forceinline__ void shared_load4(float to[4], const float *from) {
    const float4 x = *(const float4 *)from;
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}
static __device__ __forceinline__ void shared_store4(float *to, const float from[4]) {
    *(float4 *)to = make_float4(from[0], from[1], from[2], from[3]);
}
// As many as the array holds: 4 or 2.
static __device__ __forceinline__ void shared_load_some(float (&to)[4], const float *from) {
    shared_load4(to, from);
}
static __device__ __forceinline__ void shared_load_some(float (&to)[2], const float *from) {
    const float2 x = *(const float2 *)from;
    to[0] = x.x, to[1] = x.y;
}

// All threads of the block meet; what they wrote to shared memory is seen by all behind it.
#define BLOCK_SYNC() __syncthreads()

// The value of lane (own lane ^ MASK).
static __device__ __forceinline__ float lane_xor(float x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
}
static __device__ __forceinline__ double lane_xor(double x, int mask) {
    return __shfl_xor_sync(0xffffffffu, x, mask);
}
// One bit per lane of the warp where YES is not 0.
static __device__ __forceinline__ uint32_t lanes_where(int yes) {
    return __ballot_sync(0xffffffffu, yes);
}
static __device__ __forceinline__ int lowest_bit(uint32_t bits) {
    return __ffs((int)bits) - 1;
}
static __device__ __forceinline__ uint32_t multiply_high(uint32_t a, uint32_t b) {
    return __umulhi(a, b);
}
// a * b + c with a rounding of its own for each, where a number must equal the host's.
static __device__ __forceinline__ float multiply_then_add(float a, float b, float c) {
    return __fadd_rn(__fmul_rn(a, b), c);
}
// exp with an error of a few units in the last place of a float, in two instructions.
static __device__ __forceinline__ float fast_exp(float x) {
    return __expf(x);
}
#endif
