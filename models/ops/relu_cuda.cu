#include "models/ops/ops_cuda.cuh"

template <class T> struct relu_body {
    T *out;
    const T *inp;
    template <int V> __device__ void at(int64_t i) const {
        float x[V];
        load(x, inp + i);
        UNROLL for (int v = 0; v < V; v++) x[v] = x[v] > 0 ? x[v] : 0;
        store(out + i, x);
    }
};

template <class T> static void relu_all(void *out, const void *inp, int64_t n, stream *s) {
    const relu_body<T> body = {(T *)out, (const T *)inp};
    each<PACK<T>>("relu_forward", n, body, aligned(out, inp), s);
}

void relu_forward_cuda(void *out, const void *inp, int64_t n, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("relu", type, relu_all, out, inp, n, s);
}

template <class T> struct relu_back_body {
    T *dinp;
    const T *dout, *out;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float d[V], y[V];
        load(d, dout + i);
        load(y, out + i);
        UNROLL for (int v = 0; v < V; v++) d[v] = y[v] > 0 ? d[v] : 0;
        give(dinp + i, d, acc);
    }
};

template <class T>
static void relu_back(void *dinp, const void *dout, const void *out, int64_t n, int acc, stream *s) {
    const relu_back_body<T> body = {(T *)dinp, (const T *)dout, (const T *)out, acc};
    each<PACK<T>>("relu_backward", n, body, aligned(dinp, dout, out), s);
}

void relu_backward_cuda(void *dinp, const void *dout, const void *out, int64_t n, int acc, dtype type,
                        stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("relu", type, relu_back, dinp, dout, out, n, acc, s);
}
