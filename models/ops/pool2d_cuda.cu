// A thread takes one pixel's pack of channels. Backward gathers per input pixel from the windows it is in, so
// that no two threads write one place.
#include "models/ops/ops_cuda.cuh"

// Element I of images of HEIGHT x WIDTH pixels.
typedef struct pixel {
    int64_t b, y, x, c;
} pixel;

static __device__ __forceinline__ pixel pixel_of(int64_t i, int64_t height, int64_t width, int64_t C) {
    const int64_t at = i / C, line = at / width;
    return {line / height, line % height, at % width, i % C};
}

// Windows (of COUNT along one side) that place I lies in: from <= w < to.
typedef struct range {
    int64_t from, to;
} range;

static __device__ __forceinline__ range covering(int64_t i, const window_shape &z, int64_t count) {
    const int64_t from = i + z.pad - z.K + 1, to = (i + z.pad) / z.stride + 1;
    return {from <= 0 ? 0 : (from + z.stride - 1) / z.stride, to < count ? to : count};
}

// --- maximum -------------------------------------------------------------------------------------------
// NaN wins over all, so that it does not go unseen; of equal values the first in reading order wins.
template <class T> struct max_body {
    T *out;
    uint8_t *index;
    const T *inp;
    window_shape z;
    template <int V> __device__ void at(int64_t i) const {
        const pixel o = pixel_of(i, z.OH, z.OW, z.C);
        const int64_t top = o.y * z.stride - z.pad, left = o.x * z.stride - z.pad;
        float best[V], x[V];
        pack<uint8_t, V> winner;
        const int64_t inside = (top < 0 ? -top : 0) * z.K + (left < 0 ? -left : 0); // the first of the window
        UNROLL for (int v = 0; v < V; v++) {
            best[v] = -INFINITY;
            winner.x[v] = (uint8_t)inside;
        }
        for (int64_t ky = 0; ky < z.K; ky++)
            for (int64_t kx = 0; kx < z.K; kx++) {
                const int64_t y = top + ky, column = left + kx;
                if (y < 0 || y >= z.H || column < 0 || column >= z.W) continue;
                load(x, inp + ((o.b * z.H + y) * z.W + column) * z.C + o.c);
                UNROLL for (int v = 0; v < V; v++)
                    if (x[v] > best[v] || x[v] != x[v]) {
                        best[v] = x[v];
                        winner.x[v] = (uint8_t)(ky * z.K + kx);
                    }
            }
        store(out + i, best);
        *reinterpret_cast<pack<uint8_t, V> *>(index + i) = winner;
    }
};

template <class T>
static void max_all(void *out, uint8_t *index, const void *inp, const window_shape *z, stream *s) {
    const max_body<T> body = {(T *)out, index, (const T *)inp, *z};
    each<PACK<T>>("max_pool2d_forward", z->B * z->OH * z->OW * z->C, body,
                  z->C % PACK<T> == 0 && aligned(out, index, inp), s);
}

void max_pool2d_forward_cuda(void *out, uint8_t *index, const void *inp, const window_shape *z, dtype type,
                             stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("max_pool2d", type, max_all, out, index, inp, z, s);
}

// --- mean ----------------------------------------------------------------------------------------------
template <class T> struct avg_body {
    T *out;
    const T *inp;
    window_shape z;
    template <int V> __device__ void at(int64_t i) const {
        const pixel o = pixel_of(i, z.OH, z.OW, z.C);
        const float share = 1 / (float)(z.K * z.K);
        float sum[V], x[V];
        UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
        for (int64_t ky = 0; ky < z.K; ky++)
            for (int64_t kx = 0; kx < z.K; kx++) {
                const int64_t line = o.b * z.H + o.y * z.stride + ky;
                load(x, inp + (line * z.W + o.x * z.stride + kx) * z.C + o.c);
                UNROLL for (int v = 0; v < V; v++) sum[v] += x[v] * share;
            }
        store(out + i, sum);
    }
};

template <class T> static void avg_all(void *out, const void *inp, const window_shape *z, stream *s) {
    const avg_body<T> body = {(T *)out, (const T *)inp, *z};
    each<PACK<T>>("avg_pool2d_forward", z->B * z->OH * z->OW * z->C, body,
                  z->C % PACK<T> == 0 && aligned(out, inp), s);
}

void avg_pool2d_forward_cuda(void *out, const void *inp, const window_shape *z, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("avg_pool2d", type, avg_all, out, inp, z, s);
}

// --- backward of both ----------------------------------------------------------------------------------
// INDEX says which pixel won; NULL: the mean.
template <class T> struct pool_back_body {
    T *dinp;
    const T *dout;
    const uint8_t *index;
    window_shape z;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const pixel p = pixel_of(i, z.H, z.W, z.C);
        const range ys = covering(p.y, z, z.OH), xs = covering(p.x, z, z.OW);
        const float share = 1 / (float)(z.K * z.K);
        float sum[V], d[V];
        UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
        for (int64_t y = ys.from; y < ys.to; y++)
            for (int64_t x = xs.from; x < xs.to; x++) {
                const int64_t at = ((p.b * z.OH + y) * z.OW + x) * z.C + p.c;
                const int place = (int)((p.y - (y * z.stride - z.pad)) * z.K + p.x - (x * z.stride - z.pad));
                load(d, dout + at);
                pack<uint8_t, V> winner = {};
                if (index) winner = *reinterpret_cast<const pack<uint8_t, V> *>(index + at);
                UNROLL for (int v = 0; v < V; v++)
                    sum[v] += index ? ((int)winner.x[v] == place ? d[v] : 0) : d[v] * share;
            }
        give(dinp + i, sum, acc);
    }
};

template <class T>
static void pool_back(const char *name, void *dinp, const void *dout, const uint8_t *index, const window_shape *z,
                      int acc, stream *s) {
    const pool_back_body<T> body = {(T *)dinp, (const T *)dout, index, *z, acc};
    each<PACK<T>>(name, z->B * z->H * z->W * z->C, body, z->C % PACK<T> == 0 && aligned(dinp, dout, index), s);
}

void max_pool2d_backward_cuda(void *dinp, const void *dout, const uint8_t *index, const window_shape *z, int acc,
                              dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("max_pool2d", type, pool_back, "max_pool2d_backward", dinp, dout, index, z, acc, s);
}

void avg_pool2d_backward_cuda(void *dinp, const void *dout, const window_shape *z, int acc, dtype type,
                              stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("avg_pool2d", type, pool_back, "avg_pool2d_backward", dinp, dout, NULL, z, acc, s);
}
