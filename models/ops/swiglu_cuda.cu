#include "models/ops/ops_cuda.cuh"

template <class T> struct swiglu_body {
    T *out;
    const T *inp;
    int64_t F;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t gate = i / F * 2 * F + i % F;
        float a[V], b[V];
        load(a, inp + gate);
        load(b, inp + gate + F);
        UNROLL for (int v = 0; v < V; v++) a[v] = a[v] / (1 + expf(-a[v])) * b[v];
        store(out + i, a);
    }
};

template <class T>
static void swiglu_all(void *out, const void *inp, int64_t rows, int64_t F, stream *s) {
    const swiglu_body<T> body = {(T *)out, (const T *)inp, F};
    each<PACK<T>>("swiglu_forward", rows * F, body, F % PACK<T> == 0 && aligned(out, inp), s);
}

void swiglu_forward_cuda(void *out, const void *inp, int64_t rows, int64_t F, dtype type,
                         stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("swiglu", type, swiglu_all, out, inp, rows, F, s);
}

template <class T> struct swiglu_back_body {
    T *dinp;
    const T *dout, *inp;
    int64_t F;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t gate = i / F * 2 * F + i % F;
        float d[V], a[V], b[V];
        load(d, dout + i);
        load(a, inp + gate);
        load(b, inp + gate + F);
        UNROLL for (int v = 0; v < V; v++) {
            const float sigmoid = 1 / (1 + expf(-a[v]));
            b[v] *= d[v] * sigmoid * (1 + a[v] * (1 - sigmoid));
            d[v] *= a[v] * sigmoid;
        }
        give(dinp + gate, b, acc);
        give(dinp + gate + F, d, acc);
    }
};

template <class T>
static void swiglu_back(void *dinp, const void *dout, const void *inp, int64_t rows, int64_t F,
                        int acc, stream *s) {
    const swiglu_back_body<T> body = {(T *)dinp, (const T *)dout, (const T *)inp, F, acc};
    each<PACK<T>>("swiglu_backward", rows * F, body,
                  F % PACK<T> == 0 && aligned(dinp, dout, inp), s);
}

void swiglu_backward_cuda(void *dinp, const void *dout, const void *inp, int64_t rows, int64_t F,
                          int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("swiglu", type, swiglu_back, dinp, dout, inp, rows, F, acc, s);
}
