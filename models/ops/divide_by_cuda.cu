#include "models/ops/ops_cuda.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, EACH = 16, BLOCKS = 512 };

struct divide_body {
    float *out;
    const float *inp, *divisor;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const float by = *divisor;
        float x[V];
        load(x, inp + i);
        UNROLL for (int v = 0; v < V; v++) x[v] /= by;
        give(out + i, x, acc);
    }
};

static void divide(const char *name, void *out, const void *inp, const void *divisor, int64_t n,
                   int acc, stream *s) {
    const divide_body body = {(float *)out, (const float *)inp, (const float *)divisor, acc};
    each<PACK<float>>(name, n, body, aligned(out, inp), s);
}

void divide_by_forward_cuda(void *out, const void *inp, const void *divisor, int64_t n, dtype type,
                            stream *s) {
    KERNEL_BEGIN(s);
    (void)type; // the numbers are wide
    divide("divide_by_forward", out, inp, divisor, n, 0, s);
}

// partial (blocks): sums of dout out, by block.
static __global__ void __launch_bounds__(THREADS)
    products_kernel(double *partial, const float *dout, const float *out, int64_t n) {
    SHARED(double, parts, WARPS);
    double sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * THREADS)
        sum += (double)dout[i] * (double)out[i];
    sum = block_sum<THREADS>(sum, parts);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

static __global__ void __launch_bounds__(THREADS)
    divisor_kernel(float *ddivisor, const double *partial, const float *divisor, int64_t blocks,
                   int acc) {
    SHARED(double, parts, WARPS);
    double sum = 0;
    for (int64_t b = threadIdx.x; b < blocks; b += THREADS) sum += partial[b];
    sum = -block_sum<THREADS>(sum, parts) / (double)*divisor;
    if (threadIdx.x == 0) *ddivisor = (float)(sum + (acc ? (double)*ddivisor : 0));
}

void divide_by_backward_cuda(void *dinp, void *ddivisor, const void *dout, const void *out,
                             const void *divisor, int64_t n, int acc_inp, int acc_divisor,
                             dtype type, stream *s) {
    KERNEL_BEGIN(s);
    (void)type;
    const char *name = "divide_by_backward";
    double *partial = stream_cuda(s)->partials;
    const unsigned blocks = blocks_for(divide_up(n, THREADS * EACH), BLOCKS);
    if (dinp) divide(name, dinp, dout, divisor, n, acc_inp, s);
    if (!ddivisor) return;
    LAUNCH(s, name, products_kernel, dim3(blocks), dim3(THREADS), partial, (const float *)dout,
           (const float *)out, n);
    LAUNCH(s, name, divisor_kernel, dim3(1), dim3(THREADS), (float *)ddivisor, partial,
           (const float *)divisor, (int64_t)blocks, acc_divisor);
}
