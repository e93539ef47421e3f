#include "models/ops/ops_cuda.cuh"

static const float SQRT_HALF = 0.70710678118654752f, DENSITY_AT_0 = 0.39894228040143268f;

template <class T> struct gelu_body {
    T *out;
    const T *inp;
    template <int V> __device__ void at(int64_t i) const {
        float x[V];
        load(x, inp + i);
        UNROLL for (int v = 0; v < V; v++) x[v] = 0.5f * x[v] * (1 + erff(x[v] * SQRT_HALF));
        store(out + i, x);
    }
};

template <class T> static void gelu_all(void *out, const void *inp, int64_t n, stream *s) {
    const gelu_body<T> body = {(T *)out, (const T *)inp};
    each<PACK<T>>("gelu_forward", n, body, aligned(out, inp), s);
}

void gelu_forward_cuda(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("gelu", type, gelu_all, out, inp, n, s);
}

template <class T> struct gelu_back_body {
    T *dinp;
    const T *dout, *inp;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float d[V], x[V];
        load(d, dout + i);
        load(x, inp + i);
        UNROLL for (int v = 0; v < V; v++) {
            const float below = 0.5f * (1 + erff(x[v] * SQRT_HALF));
            d[v] *= below + x[v] * DENSITY_AT_0 * expf(-0.5f * x[v] * x[v]);
        }
        give(dinp + i, d, acc);
    }
};

template <class T>
static void gelu_back(void *dinp, const void *dout, const void *inp, int64_t n, int acc, stream *s) {
    const gelu_back_body<T> body = {(T *)dinp, (const T *)dout, (const T *)inp, acc};
    each<PACK<T>>("gelu_backward", n, body, aligned(dinp, dout, inp), s);
}

void gelu_backward_cuda(void *dinp, const void *dout, const void *inp, int64_t n, int acc, dtype type,
                        stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("gelu", type, gelu_back, dinp, dout, inp, n, acc, s);
}
