#include "models/ops/ops_cuda.cuh"

// A few thousand weights with a few channels each: a thread per sum.
template <class T> struct channels_body {
    T *out;
    const T *inp;
    int64_t C;
    template <int V> __device__ void at(int64_t r) const {
        double sum = 0;
        for (int64_t c = 0; c < C; c++) sum += (double)widen(inp[r * C + c]);
        narrow_to(out + r, (float)sum);
    }
};

template <class T> static void channels_all(void *out, const void *inp, int64_t rows, int64_t C, stream *s) {
    each<1>("sum_channels_forward", rows, channels_body<T>{(T *)out, (const T *)inp, C}, true, s);
}

void sum_channels_forward_cuda(void *out, const void *inp, int64_t rows, int64_t C, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("sum_channels", type, channels_all, out, inp, rows, C, s);
}

template <class T> struct channels_back_body {
    T *dinp;
    const T *dout;
    int64_t C;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float d[1] = {widen(dout[i / C])};
        give(dinp + i, d, acc);
    }
};

template <class T>
static void channels_back(void *dinp, const void *dout, int64_t rows, int64_t C, int acc, stream *s) {
    each<1>("sum_channels_backward", rows * C, channels_back_body<T>{(T *)dinp, (const T *)dout, C, acc}, true, s);
}

void sum_channels_backward_cuda(void *dinp, const void *dout, int64_t rows, int64_t C, int acc, dtype type,
                                stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("sum_channels", type, channels_back, dinp, dout, rows, C, acc, s);
}
