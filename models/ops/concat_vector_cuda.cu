#include "models/ops/columns_cuda.cuh"

// No pack lies across the border: C1 and C2 are multiples of V wherever V is more than 1.
template <class T> struct concat_body {
    T *out;
    const T *inp;
    const float *vector;
    int64_t C1, C;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t r = i / C, c = i % C;
        float x[V];
        if (c < C1)
            load(x, inp + r * C1 + c);
        else
            load(x, vector + c - C1);
        store(out + i, x);
    }
};

template <class T> static bool whole(int64_t C1, int64_t C2) {
    return C1 % PACK<T> == 0 && C2 % PACK<T> == 0;
}

template <class T>
static void concat_all(void *out, const void *inp, const float *vector, int64_t rows, int64_t C1, int64_t C2,
                       stream *s) {
    const concat_body<T> body = {(T *)out, (const T *)inp, vector, C1, C1 + C2};
    each<PACK<T>>("concat_vector_forward", rows * (C1 + C2), body,
                  whole<T>(C1, C2) && aligned(out, inp, vector), s);
}

void concat_vector_forward_cuda(void *out, const void *inp, const void *vector, int64_t rows, int64_t C1,
                                int64_t C2, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("concat_vector", type, concat_all, out, inp, (const float *)vector, rows, C1, C2, s);
}

template <class T> struct concat_back_body {
    T *dinp;
    const T *dout;
    int64_t C1, C;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float d[V];
        load(d, dout + i / C1 * C + i % C1);
        give(dinp + i, d, acc);
    }
};

template <class T>
static void concat_back(void *dinp, float *dvector, const void *dout, int64_t rows, int64_t C1, int64_t C2,
                        int acc_inp, int acc_vector, stream *s) {
    const concat_back_body<T> body = {(T *)dinp, (const T *)dout, C1, C1 + C2, acc_inp};
    if (dvector)
        sum_columns("concat_vector_backward", dvector, (const T *)dout + C1, rows, C2, C1 + C2, acc_vector, s);
    if (dinp)
        each<PACK<T>>("concat_vector_backward", rows * C1, body, whole<T>(C1, C2) && aligned(dinp, dout), s);
}

void concat_vector_backward_cuda(void *dinp, void *dvector, const void *dout, int64_t rows, int64_t C1,
                                 int64_t C2, int acc_inp, int acc_vector, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("concat_vector", type, concat_back, dinp, (float *)dvector, dout, rows, C1, C2, acc_inp, acc_vector,
             s);
}
