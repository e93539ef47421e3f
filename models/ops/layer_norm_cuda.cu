// Formulas are those of layer_norm.c, sums those of norm_cuda.cuh.
#include "models/ops/norm_cuda.cuh"

template <class T> struct layer_source {
    const T *inp;
    int64_t D;
    template <int V> __device__ void read(float (&x)[V], int64_t r, int64_t c) const {
        load(x, inp + r * D + c);
    }
};

template <class T> struct layer_sink {
    T *dinp;
    int64_t D;
    int acc;
    __device__ bool wanted() const {
        return dinp;
    }
    template <int V> __device__ void give(float (&g)[V], int64_t r, int64_t c) const {
        ::give(dinp + r * D + c, g, acc);
    }
};

template <class T>
static void forward_all(void *out, float *mean, float *rstd, const void *inp, const float *weight,
                        const float *bias, int64_t rows, int64_t D, float eps, stream *s) {
    const norm_task<T, layer_source<T>> k = {"layer_norm_forward", (T *)out, mean, rstd, {(const T *)inp, D},
                                             weight, bias, eps};
    norm_launch<T>(k, rows, D, aligned(out, inp, weight, bias), s);
}

void layer_norm_forward_cuda(void *out, void *mean, void *rstd, const void *inp, const void *weight,
                             const void *bias, int64_t rows, int64_t D, double eps, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("layer_norm", type, forward_all, out, (float *)mean, (float *)rstd, inp, (const float *)weight,
             (const float *)bias, rows, D, (float)eps, s);
}

size_t layer_norm_scratch_cuda(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)s, (void)rows, (void)type;
    return NORM_BLOCKS * 2 * (size_t)D * sizeof(float);
}

template <class T>
static void backward_all(void *dinp, const norm_finish &finish, float *partial, const void *dout, const void *inp,
                         const float *mean, const float *rstd, const float *weight, int64_t rows, int64_t D,
                         int acc, stream *s) {
    const norm_back_task<T, layer_sink<T>> k = {"layer_norm_backward", {(T *)dinp, D, acc}, partial,
                                                (const T *)dout, (const T *)inp, mean, rstd, weight};
    norm_launch_back<T>(k, finish, rows, D, aligned(dinp, dout, inp, weight), s);
}

void layer_norm_backward_cuda(void *dinp, void *dweight, void *dbias, const void *dout, const void *inp,
                              const void *mean, const void *rstd, const void *weight, int64_t rows, int64_t D,
                              int acc_inp, int acc_weight, int acc_bias, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const norm_finish finish = {(float *)dweight, (float *)dbias, D, acc_weight, acc_bias};
    FOR_TYPE("layer_norm", type, backward_all, dinp, finish, dweight || dbias ? (float *)scratch : NULL, dout, inp,
             (const float *)mean, (const float *)rstd, (const float *)weight, rows, D, acc_inp, s);
}
