#include "models/ops/ops_cuda.cuh"

// A thread goes along the tokens of its channels: a few in float, the rest in double.
template <class T> struct mean_body {
    enum { FEW = 8 };
    T *out;
    const T *inp;
    int64_t tokens, C;
    template <int V> __device__ void at(int64_t i) const {
        const T *from = inp + i / C * tokens * C + i % C;
        double sum[V];
        float x[V];
        UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
        for (int64_t t = 0; t < tokens;) {
            float few[V];
            UNROLL for (int v = 0; v < V; v++) few[v] = 0;
            for (int f = 0; f < FEW && t < tokens; f++, t++) {
                load(x, from + t * C);
                UNROLL for (int v = 0; v < V; v++) few[v] += x[v];
            }
            UNROLL for (int v = 0; v < V; v++) sum[v] += (double)few[v];
        }
        UNROLL for (int v = 0; v < V; v++) x[v] = (float)(sum[v] / (double)tokens);
        store(out + i, x);
    }
};

template <class T>
static void mean_all(void *out, const void *inp, int64_t B, int64_t tokens, int64_t C, stream *s) {
    const mean_body<T> body = {(T *)out, (const T *)inp, tokens, C};
    each<PACK<T>>("mean_tokens_forward", B * C, body, C % PACK<T> == 0 && aligned(out, inp), s);
}

void mean_tokens_forward_cuda(void *out, const void *inp, int64_t B, int64_t T, int64_t C, dtype type,
                              stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("mean_tokens", type, mean_all, out, inp, B, T, C, s);
}

template <class T> struct mean_back_body {
    T *dinp;
    const T *dout;
    int64_t tokens, C;
    float share;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float d[V];
        load(d, dout + i / (tokens * C) * C + i % C);
        UNROLL for (int v = 0; v < V; v++) d[v] *= share;
        give(dinp + i, d, acc);
    }
};

template <class T>
static void mean_back(void *dinp, const void *dout, int64_t B, int64_t tokens, int64_t C, int acc, stream *s) {
    const mean_back_body<T> body = {(T *)dinp, (const T *)dout, tokens, C, 1 / (float)tokens, acc};
    each<PACK<T>>("mean_tokens_backward", B * tokens * C, body, C % PACK<T> == 0 && aligned(dinp, dout), s);
}

void mean_tokens_backward_cuda(void *dinp, const void *dout, int64_t B, int64_t T, int64_t C, int acc, dtype type,
                               stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("mean_tokens", type, mean_back, dinp, dout, B, T, C, acc, s);
}
