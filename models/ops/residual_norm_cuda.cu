// Formulas are those of residual_norm.c, sums those of norm_cuda.cuh.
#include "models/ops/dropout_cuda.cuh"
#include "models/ops/norm_cuda.cuh"

// The sum as the type holds it, so that the backward pass sees the numbers that were normalised.
template <class T> struct residual_source {
    T *sum; // NULL: nobody keeps it
    const T *x, *y;
    row_dropout dropout; // rows NULL: none
    int64_t D;
    template <int V> __device__ void read(float (&s)[V], int64_t r, int64_t c) const {
        float y_now[V];
        load(s, x + r * D + c);
        load(y_now, y + r * D + c);
        if (dropout.rows) dropout.apply(y_now, r, c);
        UNROLL for (int v = 0; v < V; v++) {
            T rounded;
            narrow_to(&rounded, s[v] + y_now[v]);
            s[v] = widen(rounded);
        }
        if (sum) store(sum + r * D + c, s);
    }
};

// dx before dy: if x is y, the second adds to the first.
template <class T> struct residual_sink {
    T *dx, *dy;
    row_dropout dropout;
    int64_t D;
    int acc_x, acc_y;
    __device__ bool wanted() const {
        return dx || dy;
    }
    template <int V> __device__ void give(float (&g)[V], int64_t r, int64_t c) const {
        float kept[V];
        UNROLL for (int v = 0; v < V; v++) kept[v] = g[v];
        if (dx) ::give(dx + r * D + c, g, acc_x);
        if (!dy) return;
        if (dropout.rows) dropout.apply(kept, r, c);
        ::give(dy + r * D + c, kept, acc_y);
    }
};

template <class T>
static void forward_all(void *out, void *sum, float *mean, float *rstd, const void *x, const void *y,
                        const float *weight, const float *bias, const dropout_shape *z, float eps, stream *s) {
    const int64_t D = z->per_sample;
    const norm_task<T, residual_source<T>> k = {
        "residual_norm_forward", (T *)out, mean, rstd,
        {(T *)sum, (const T *)x, (const T *)y, row_dropout_from(z, s), D}, weight, bias, eps};
    norm_launch<T>(k, z->samples, D, aligned(out, sum, x, y, weight, bias), s);
}

void residual_norm_forward_cuda(void *out, void *sum, void *mean, void *rstd, const void *x, const void *y,
                                const void *weight, const void *bias, const dropout_shape *z, double eps,
                                dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("residual_norm", type, forward_all, out, sum, (float *)mean, (float *)rstd, x, y,
             (const float *)weight, (const float *)bias, z, (float)eps, s);
}

size_t residual_norm_scratch_cuda(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)s, (void)rows, (void)type;
    return NORM_BLOCKS * 2 * (size_t)D * sizeof(float);
}

template <class T>
static void backward_all(void *dx, void *dy, const norm_finish &finish, float *partial, const void *dout,
                         const void *sum, const float *mean, const float *rstd, const float *weight,
                         const dropout_shape *z, int acc_x, int acc_y, stream *s) {
    const int64_t D = z->per_sample;
    const norm_back_task<T, residual_sink<T>> k = {
        "residual_norm_backward", {(T *)dx, (T *)dy, row_dropout_from(z, s), D, acc_x, acc_y}, partial,
        (const T *)dout, (const T *)sum, mean, rstd, weight};
    norm_launch_back<T>(k, finish, z->samples, D, aligned(dx, dy, dout, sum, weight), s);
}

void residual_norm_backward_cuda(void *dx, void *dy, void *dweight, void *dbias, const void *dout,
                                 const void *sum, const void *mean, const void *rstd, const void *weight,
                                 const dropout_shape *z, int acc_x, int acc_y, int acc_weight, int acc_bias,
                                 dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const norm_finish finish = {(float *)dweight, (float *)dbias, z->per_sample, acc_weight, acc_bias};
    FOR_TYPE("residual_norm", type, backward_all, dx, dy, finish, dweight || dbias ? (float *)scratch : NULL, dout,
             sum, (const float *)mean, (const float *)rstd, (const float *)weight, z, acc_x, acc_y, s);
}
