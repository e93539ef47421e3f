extern "C" {
#include "core/cuda/widen.h"
}

#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __device__ float wide(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

static __device__ float wide(__half x) {
    return __half2float(x);
}

template <typename number>
static __global__ void widen_kernel(float *out, const number *inp, int64_t count) {
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        out[i] = wide(inp[i]);
}

void numbers_widen(float *out, const void *inp, dtype type, int64_t count, stream *s) {
    const cuda_stream *c = stream_cuda(s);
    const int64_t threads = 256, blocks = (count + threads - 1) / threads,
                  most = 8 * (int64_t)c->multiprocessors;
    const dim3 grid((unsigned)(blocks < most ? blocks : most));
    if (!count) return;
    if (type == DTYPE_BF16)
        widen_kernel<<<grid, (unsigned)threads, 0, c->handle>>>(out, (const __nv_bfloat16 *)inp,
                                                                count);
    else if (type == DTYPE_F16)
        widen_kernel<<<grid, (unsigned)threads, 0, c->handle>>>(out, (const __half *)inp, count);
    else
        die("numbers_widen: %s", dtype_name(type));
    CUDA_CHECK(s, cudaGetLastError());
}
