#include "models/ops/ops_cuda.cuh"

template <class T> struct add_body {
    T *out;
    const T *a, *b;
    template <int V> __device__ void at(int64_t i) const {
        float x[V], y[V];
        load(x, a + i);
        load(y, b + i);
        UNROLL for (int v = 0; v < V; v++) x[v] += y[v];
        store(out + i, x);
    }
};

template <class T> static void add_all(void *out, const void *a, const void *b, int64_t n, stream *s) {
    const add_body<T> body = {(T *)out, (const T *)a, (const T *)b};
    each<PACK<T>>("add_forward", n, body, aligned(out, a, b), s);
}

void add_forward_cuda(void *out, const void *a, const void *b, int64_t n, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("add", type, add_all, out, a, b, n, s);
}

template <class T> struct add_back_body {
    T *dinp;
    const T *dout;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float d[V];
        load(d, dout + i);
        give(dinp + i, d, acc);
    }
};

template <class T> static void add_back(void *dinp, const void *dout, int64_t n, int acc, stream *s) {
    const add_back_body<T> body = {(T *)dinp, (const T *)dout, acc};
    each<PACK<T>>("add_backward", n, body, aligned(dinp, dout), s);
}

void add_backward_cuda(void *dinp, const void *dout, int64_t n, int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("add", type, add_back, dinp, dout, n, acc, s);
}
