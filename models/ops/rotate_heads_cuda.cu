// Formulas are those of rotate_heads.c. A block takes a row at a time, so that its position and its
// part of the table are read once; a thread takes V pairs of a head. Places inside a row fit 32
// bits.
#include "models/ops/ops_cuda.cuh"

enum { THREADS = 256 };

struct heads_plan {
    int64_t N;
    uint32_t HQ, HK, half, P, copies;
    const float *table;
    const int32_t *positions;
};

// Where head H of a row stands in output WHICH: its first number.
struct head_place {
    uint32_t which, copies;
    int64_t at;
};

static __device__ __forceinline__ head_place place_of(const heads_plan &z, int64_t r, uint32_t h) {
    const int64_t kept = (int64_t)z.HK * z.copies, D = 2 * z.half;
    if (h < z.HQ) return {0, 1, (r * z.HQ + h) * D};
    const uint32_t which = h < z.HQ + z.HK ? 1 : 2, k = h - z.HQ - (which - 1) * z.HK;
    return {which, z.copies, (r * kept + (int64_t)k * z.copies) * D};
}

// Turns V pairs of row R, from pair I on; BACK: the other way. A position outside of the table is
// not the kernel's to report, as no launch waits for the host: the numbers become NaN, so that the
// loss does, and the step is stopped with the weights intact.
template <int V>
static __device__ __forceinline__ void turn(float (&a)[V], float (&b)[V], const heads_plan &z,
                                            int64_t r, uint32_t i, bool back) {
    const int32_t position = z.positions[r];
    const bool there = position >= 0 && (uint32_t)position < z.P;
    float cs[2 * V];
    if (there) load(cs, z.table + ((int64_t)position * z.half + i) * 2);
    UNROLL for (int v = 0; v < V; v++) {
        const float c = there ? cs[2 * v] : NAN, sine = there ? cs[2 * v + 1] : NAN;
        const float s = back ? -sine : sine;
        const float turned = a[v] * c - b[v] * s;
        b[v] = b[v] * c + a[v] * s;
        a[v] = turned;
    }
}

template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    rotate_kernel(T *q, T *k, T *v, const T *qkv, heads_plan z) {
    const uint32_t heads = z.HQ + 2 * z.HK, packs = z.half / V;
    for (int64_t r = blockIdx.x; r < z.N; r += gridDim.x)
        for (uint32_t j = threadIdx.x; j < heads * packs; j += THREADS) {
            const uint32_t h = j / packs, i = j % packs * V;
            const head_place p = place_of(z, r, h);
            const T *x = qkv + (r * heads + h) * 2 * z.half + i;
            T *y = (p.which == 0 ? q : p.which == 1 ? k : v) + p.at + i;
            float a[V], b[V];
            load(a, x);
            load(b, x + z.half);
            if (p.which < 2) turn(a, b, z, r, i, false);
            for (uint32_t copy = 0; copy < p.copies; copy++, y += 2 * z.half) {
                store(y, a);
                store(y + z.half, b);
            }
        }
}

template <class T, int V>
__global__ void __launch_bounds__(THREADS)
    rotate_back_kernel(T *dqkv, const T *dq, const T *dk, const T *dv, heads_plan z, int acc) {
    const uint32_t heads = z.HQ + 2 * z.HK, packs = z.half / V;
    for (int64_t r = blockIdx.x; r < z.N; r += gridDim.x)
        for (uint32_t j = threadIdx.x; j < heads * packs; j += THREADS) {
            const uint32_t h = j / packs, i = j % packs * V;
            const head_place p = place_of(z, r, h);
            const T *dy = (p.which == 0 ? dq : p.which == 1 ? dk : dv) + p.at + i;
            T *dx = dqkv + (r * heads + h) * 2 * z.half + i;
            float a[V], b[V], more[V];
            load(a, dy);
            load(b, dy + z.half);
            for (uint32_t copy = 1; copy < p.copies; copy++) {
                dy += 2 * z.half;
                load(more, dy);
                UNROLL for (int n = 0; n < V; n++) a[n] += more[n];
                load(more, dy + z.half);
                UNROLL for (int n = 0; n < V; n++) b[n] += more[n];
            }
            if (p.which < 2) turn(a, b, z, r, i, true);
            give(dx, a, acc);
            give(dx + z.half, b, acc);
        }
}

static heads_plan plan_of(const heads_shape *z) {
    if ((z->HQ + 2 * z->HK) * z->D > INT32_MAX || z->P > INT32_MAX)
        die("rotate_heads: rows of %lld, positions to %lld",
            (long long)((z->HQ + 2 * z->HK) * z->D), (long long)z->P);
    return {z->N,           (uint32_t)z->HQ,     (uint32_t)z->HK,         (uint32_t)(z->D / 2),
            (uint32_t)z->P, (uint32_t)z->copies, (const float *)z->table, z->positions};
}

template <class T>
static void forward_all(void *q, void *k, void *v, const void *qkv, const heads_shape *z,
                        stream *s) {
    const char *name = "rotate_heads_forward";
    const heads_plan p = plan_of(z);
    const dim3 grid(blocks_for(z->N, 1 << 20)), block(THREADS);
    if (p.half % PACK<T> == 0 && aligned(q, k, v, qkv, z->table))
        LAUNCH(s, name, (rotate_kernel<T, PACK<T>>), grid, block, (T *)q, (T *)k, (T *)v,
               (const T *)qkv, p);
    else
        LAUNCH(s, name, (rotate_kernel<T, 1>), grid, block, (T *)q, (T *)k, (T *)v, (const T *)qkv,
               p);
}

void rotate_heads_forward_cuda(void *q, void *k, void *v, const void *qkv, const heads_shape *z,
                               dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("rotate_heads", type, forward_all, q, k, v, qkv, z, s);
}

template <class T>
static void backward_all(void *dqkv, const void *dq, const void *dk, const void *dv,
                         const heads_shape *z, int acc, stream *s) {
    const char *name = "rotate_heads_backward";
    const heads_plan p = plan_of(z);
    const dim3 grid(blocks_for(z->N, 1 << 20)), block(THREADS);
    if (p.half % PACK<T> == 0 && aligned(dqkv, dq, dk, dv, z->table))
        LAUNCH(s, name, (rotate_back_kernel<T, PACK<T>>), grid, block, (T *)dqkv, (const T *)dq,
               (const T *)dk, (const T *)dv, p, acc);
    else
        LAUNCH(s, name, (rotate_back_kernel<T, 1>), grid, block, (T *)dqkv, (const T *)dq,
               (const T *)dk, (const T *)dv, p, acc);
}

void rotate_heads_backward_cuda(void *dqkv, const void *dq, const void *dk, const void *dv,
                                const heads_shape *z, int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("rotate_heads", type, backward_all, dqkv, dq, dk, dv, z, acc, s);
}
