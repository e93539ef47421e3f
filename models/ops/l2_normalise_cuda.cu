#include "models/ops/ops_cuda.cuh"

// A warp to a row. Sums of squares are made in double, as those of large numbers leave a float's
// range.

enum { THREADS = 256, WARPS = THREADS / 32 };
static const double LEAST_NORM = 1e-12;

// The dot product of two rows, for all lanes of the warp.
template <int V, class T>
static __device__ __forceinline__ double row_dot(const T *a, const T *b, int64_t D) {
    double sum = 0;
    for (int64_t c = (int64_t)(threadIdx.x % 32) * V; c < D; c += 32 * V) {
        float x[V], y[V];
        load(x, a + c);
        load(y, b + c);
        UNROLL for (int v = 0; v < V; v++) sum += (double)x[v] * (double)y[v];
    }
    return lanes_sum(sum, 32);
}

template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    normalise_kernel(T *out, float *norm, const T *inp, int64_t rows, int64_t D) {
    const int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (r >= rows) return;
    const double length = sqrt(row_dot<V>(inp + r * D, inp + r * D, D));
    const float scale = (float)(1 / (length < LEAST_NORM ? LEAST_NORM : length)); // NaN stays
    for (int64_t c = (int64_t)(threadIdx.x % 32) * V; c < D; c += 32 * V) {
        float x[V];
        load(x, inp + r * D + c);
        UNROLL for (int v = 0; v < V; v++) x[v] *= scale;
        store(out + r * D + c, x);
    }
    if (threadIdx.x % 32 == 0) norm[r] = (float)length;
}

template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    normalise_back_kernel(T *dinp, const T *dout, const T *inp, const float *norm, int64_t rows,
                          int64_t D, int acc) {
    const int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (r >= rows) return;
    const bool least = (double)norm[r] < LEAST_NORM;
    const double length = least ? LEAST_NORM : (double)norm[r];
    const double product = row_dot<V>(inp + r * D, dout + r * D, D);
    const float scale = (float)(1 / length);
    const float along = least ? 0 : (float)(product / (length * length));
    for (int64_t c = (int64_t)(threadIdx.x % 32) * V; c < D; c += 32 * V) {
        float x[V], d[V];
        load(x, inp + r * D + c);
        load(d, dout + r * D + c);
        UNROLL for (int v = 0; v < V; v++) d[v] = scale * (d[v] - x[v] * along);
        give(dinp + r * D + c, d, acc);
    }
}

template <class T>
static void normalise_all(void *out, void *norm, const void *inp, int64_t rows, int64_t D,
                          stream *s) {
    const char *name = "l2_normalise_forward";
    const dim3 grid((unsigned)divide_up(rows, WARPS)), block(THREADS);
    if (D % PACK<T> == 0 && aligned(out, inp))
        LAUNCH(s, name, (normalise_kernel<T, PACK<T>>), grid, block, (T *)out, (float *)norm,
               (const T *)inp, rows, D);
    else
        LAUNCH(s, name, (normalise_kernel<T, 1>), grid, block, (T *)out, (float *)norm,
               (const T *)inp, rows, D);
}

void l2_normalise_forward_cuda(void *out, void *norm, const void *inp, int64_t rows, int64_t D,
                               dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("l2_normalise", type, normalise_all, out, norm, inp, rows, D, s);
}

template <class T>
static void normalise_back(void *dinp, const void *dout, const void *inp, const void *norm,
                           int64_t rows, int64_t D, int acc, stream *s) {
    const char *name = "l2_normalise_backward";
    const dim3 grid((unsigned)divide_up(rows, WARPS)), block(THREADS);
    if (D % PACK<T> == 0 && aligned(dinp, dout, inp))
        LAUNCH(s, name, (normalise_back_kernel<T, PACK<T>>), grid, block, (T *)dinp,
               (const T *)dout, (const T *)inp, (const float *)norm, rows, D, acc);
    else
        LAUNCH(s, name, (normalise_back_kernel<T, 1>), grid, block, (T *)dinp, (const T *)dout,
               (const T *)inp, (const float *)norm, rows, D, acc);
}

void l2_normalise_backward_cuda(void *dinp, const void *dout, const void *inp, const void *norm,
                                int64_t rows, int64_t D, int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("l2_normalise", type, normalise_back, dinp, dout, inp, norm, rows, D, acc, s);
}
