// A row outside of x is not the kernel's to report, as no launch waits for the host: all rows become NaN, so
// that the loss does, and the step is stopped with the weights intact.
#include "models/ops/ops_cuda.cuh"

struct nowhere_body {
    int32_t *where;
    template <int V> __device__ void at(int64_t i) const { where[i] = -1; }
};

struct where_body {
    int32_t *where;
    const int32_t *index;
    int64_t N;
    template <int V> __device__ void at(int64_t m) const {
        if (index[m] >= 0 && index[m] < N) where[index[m]] = (int32_t)m;
    }
};

template <class T> struct replace_body {
    T *out;
    const T *x, *y;
    const int32_t *where;
    int64_t D;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t m = where[i / D];
        float v[V];
        load(v, m < 0 ? x + i : y + m * D + i % D);
        store(out + i, v);
    }
};

template <class T> struct outside_body {
    T *out;
    const int32_t *index;
    int64_t N, D;
    template <int V> __device__ void at(int64_t m) const {
        const float nan[1] = {NAN};
        for (int64_t r = 0; index[m] >= N && r < N; r++) store(out + r * D, nan);
    }
};

template <class T>
static void replace_all(void *out, int32_t *where, const void *x, const void *y,
                        const int32_t *index, int64_t N, int64_t M, int64_t D, stream *s) {
    const nowhere_body nowhere = {where};
    const where_body places = {where, index, N};
    const replace_body<T> body = {(T *)out, (const T *)x, (const T *)y, where, D};
    each<1>("replace_rows_nowhere", N, nowhere, true, s);
    each<1>("replace_rows_where", M, places, true, s);
    const outside_body<T> outside = {(T *)out, index, N, D};
    each<PACK<T>>("replace_rows_forward", N * D, body, D % PACK<T> == 0 && aligned(out, x, y), s);
    each<1>("replace_rows_outside", M, outside, true, s);
}

void replace_rows_forward_cuda(void *out, int32_t *where, const void *x, const void *y,
                               const int32_t *index, int64_t N, int64_t M, int64_t D, dtype type,
                               stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("replace_rows", type, replace_all, out, where, x, y, index, N, M, D, s);
}

// MINE: dx, whose row is dout's own where nothing was put; else dy, whose row is dout's index[row].
template <class T, bool MINE> struct replace_back_body {
    T *dinp;
    const T *dout;
    const int32_t *place;
    int64_t D, N;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t row = i / D, p = place[row];
        const bool none = MINE ? p >= 0 : p < 0 || p >= N;
        float v[V];
        if (none)
            UNROLL for (int k = 0; k < V; k++) v[k] = 0;
        else
            load(v, dout + (MINE ? i : p * D + i % D));
        give(dinp + i, v, acc);
    }
};

template <class T>
static void replace_back(void *dx, void *dy, const void *dout, const int32_t *where,
                         const int32_t *index, int64_t N, int64_t M, int64_t D, int acc_x,
                         int acc_y, stream *s) {
    const replace_back_body<T, true> mine = {(T *)dx, (const T *)dout, where, D, N, acc_x};
    const replace_back_body<T, false> put = {(T *)dy, (const T *)dout, index, D, N, acc_y};
    const bool whole = D % PACK<T> == 0;
    if (dx) each<PACK<T>>("replace_rows_dx", N * D, mine, whole && aligned(dx, dout), s);
    if (dy) each<PACK<T>>("replace_rows_dy", M * D, put, whole && aligned(dy, dout), s);
}

void replace_rows_backward_cuda(void *dx, void *dy, const void *dout, const int32_t *where,
                                const int32_t *index, int64_t N, int64_t M, int64_t D, int acc_x,
                                int acc_y, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("replace_rows", type, replace_back, dx, dy, dout, where, index, N, M, D, acc_x, acc_y,
             s);
}
