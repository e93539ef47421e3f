// What the CUDA kernels share: numbers of any type in packs of 16 bytes, element-wise launches, sums inside a
// block, draws. For models/ops/*_cuda.cu.
//
// Kernels compute in float (long sums in double). Sums are made in an order that sizes alone decide: fixed
// pieces, fixed trees, no atomics. Where pointers and sizes allow, a thread moves 16 bytes at a time.
#pragma once
#include "core/cuda/intrin.cuh"
extern "C" {
#include "models/ops/kernels.h"

#define X(name, args) void name##_cuda args;
OP_KERNELS(X)
OP_FUSED(X)
#undef X
#define X(name, args) size_t name##_cuda args;
OP_QUERIES(X)
OP_FUSED_QUERIES(X)
#undef X
}

// --- numbers -------------------------------------------------------------------------------------------
static __device__ __forceinline__ float widen(float x) {
    return x;
}
static __device__ __forceinline__ void narrow_to(float *to, float x) {
    *to = x;
}

// V numbers that are loaded and stored at once (16 bytes at a time where V is larger).
template <class T, int V> struct alignas(V * sizeof(T) > 16 ? 16 : V * sizeof(T)) pack {
    T x[V];
};

template <int V, class T> static __device__ __forceinline__ void load(float (&to)[V], const T *from) {
    const pack<T, V> p = *reinterpret_cast<const pack<T, V> *>(from);
    UNROLL for (int v = 0; v < V; v++) to[v] = widen(p.x[v]);
}

template <int V, class T> static __device__ __forceinline__ void store(T *to, const float (&from)[V]) {
    pack<T, V> p;
    UNROLL for (int v = 0; v < V; v++) narrow_to(&p.x[v], from[v]);
    *reinterpret_cast<pack<T, V> *>(to) = p;
}

// Writes, or adds to what is there.
template <int V, class T> static __device__ __forceinline__ void give(T *to, float (&x)[V], int acc) {
    if (acc) {
        float there[V];
        load(there, to);
        UNROLL for (int v = 0; v < V; v++) x[v] += there[v];
    }
    store(to, x);
}

// Numbers of T in 16 bytes.
template <class T> constexpr int PACK = 16 / (int)sizeof(T);

static inline bool aligned(const void *a) {
    return (uintptr_t)a % 16 == 0;
}
template <class... P> static inline bool aligned(const void *a, P... rest) {
    return aligned(a) && aligned(rest...);
}

// Calls FUNCTION<T>(...) for the T that TYPE names.
#define FOR_TYPE(op, type, function, ...)                                                                    \
    do {                                                                                                     \
        switch (type) {                                                                                      \
        case DTYPE_F32: function<float>(__VA_ARGS__); break;                                                 \
        case DTYPE_BF16: function<bf16>(__VA_ARGS__); break;                                                 \
        case DTYPE_F16: function<f16>(__VA_ARGS__); break;                                                   \
        default: die("%s: the CUDA kernel got %s, expected F32, BF16 or F16", op, dtype_name(type));         \
        }                                                                                                    \
    } while (0)

static inline int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
// Blocks for COUNT pieces of work, at most MOST: kernels go on in strides of the grid.
static inline unsigned blocks_for(int64_t count, int64_t most) {
    return (unsigned)(count < most ? count : most);
}

// --- element-wise --------------------------------------------------------------------------------------
enum { EACH_THREADS = 256, EACH_BLOCKS = 1 << 16 };

// BODY.at<V>(i) handles elements i to i + V. The last ones, which fill no pack, are taken one by one.
template <int V, class Body> __global__ void __launch_bounds__(EACH_THREADS) each_kernel(int64_t n, Body body) {
    const int64_t packs = n / V, work = packs + n % V;
    for (int64_t i = (int64_t)blockIdx.x * EACH_THREADS + threadIdx.x; i < work;
         i += (int64_t)gridDim.x * EACH_THREADS) {
        if (i < packs)
            body.template at<V>(i * V);
        else
            body.template at<1>(packs * V + i - packs);
    }
}

// WHOLE: all pointers are aligned, so packs of V may be moved.
template <int V, class Body>
static void each(const char *name, int64_t n, const Body &body, bool whole, stream *s) {
    if (whole && V > 1)
        LAUNCH(s, name, (each_kernel<V, Body>),
               dim3(blocks_for(divide_up(n / V + n % V, EACH_THREADS), EACH_BLOCKS)), dim3(EACH_THREADS), n,
               body);
    else
        LAUNCH(s, name, (each_kernel<1, Body>),
               dim3(blocks_for(divide_up(n, EACH_THREADS), EACH_BLOCKS)), dim3(EACH_THREADS), n, body);
}

// out (rows, C) += bias f32 (C): where a library does not add it.
template <class T> struct bias_body {
    T *out;
    const float *bias;
    int64_t C;
    template <int V> __device__ void at(int64_t i) const {
        float x[V];
        load(x, bias + i % C);
        give(out + i, x, 1);
    }
};

template <class T>
static void add_bias(const char *name, void *out, const void *bias, int64_t rows, int64_t C, stream *s) {
    each<PACK<T>>(name, rows * C, bias_body<T>{(T *)out, (const float *)bias, C},
                  C % PACK<T> == 0 && aligned(out, bias), s);
}

// --- sums ----------------------------------------------------------------------------------------------
// Over WIDTH neighbouring lanes (a power of 2); every lane gets the sum.
template <class N> static __device__ __forceinline__ N lanes_sum(N x, int width) {
    for (int mask = width / 2; mask > 0; mask /= 2) x += lane_xor(x, mask);
    return x;
}
static __device__ __forceinline__ float lanes_max(float x, int width) {
    for (int mask = width / 2; mask > 0; mask /= 2) x = fmaxf(x, lane_xor(x, mask));
    return x;
}

// The sum over a block of THREADS in a row, given to all; PARTS holds THREADS / 32. Two barriers.
template <int THREADS, class N>
static __device__ __forceinline__ N block_sum(N x, shared_array<N> parts) {
    x = lanes_sum(x, 32);
    BLOCK_SYNC(); // what was in PARTS has been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    BLOCK_SYNC();
    N sum = 0;
    for (int w = 0; w < THREADS / 32; w++) sum += parts[w];
    return sum;
}

// --- draws: the words of core/rng.c ------------------------------------------------------------------
typedef struct draw_source {
    rng_key key;
    uint32_t first_sample;
    const step_numbers *now; // NULL: the key's own step
} draw_source;

static inline draw_source draw_from(rng_key key, uint32_t first_sample, const stream *s) {
    const cuda_stream *c = stream_cuda(s);
    return {key, first_sample, c->recording ? c->now : NULL};
}

// The step and the first sample that hold now: once per thread.
static __device__ __forceinline__ draw_source draw_now(draw_source d) {
    if (d.now) {
        d.key.step = d.now->step;
        d.first_sample = d.now->first_sample;
    }
    return d;
}

// The words of elements 4 BLOCK to 4 BLOCK + 3 of a sample, counted from the first.
static __device__ __forceinline__ void draw_block(uint32_t out[4], const draw_source &d, uint32_t sample,
                                                  uint64_t block) {
    uint32_t c0 = (uint32_t)block, c1 = d.first_sample + sample, c2 = d.key.step;
    uint32_t c3 = d.key.site ^ (uint32_t)(block >> 32);
    uint32_t k0 = (uint32_t)d.key.seed, k1 = (uint32_t)(d.key.seed >> 32);
    UNROLL for (int round = 0; round < 10; round++) {
        const uint32_t low0 = 0xD2511F53u * c0, high0 = multiply_high(0xD2511F53u, c0);
        const uint32_t low1 = 0xCD9E8D57u * c2, high1 = multiply_high(0xCD9E8D57u, c2);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

// The words of V elements from ELEMENT on.
template <int V>
static __device__ __forceinline__ void draw_words(uint32_t (&out)[V], const draw_source &d, uint32_t sample,
                                                  uint64_t element) {
    uint32_t words[4];
    uint64_t drawn = element / 4;
    draw_block(words, d, sample, drawn);
    UNROLL for (int v = 0; v < V; v++) {
        const uint64_t block = (element + (uint64_t)v) / 4;
        if (block != drawn) draw_block(words, d, sample, block);
        drawn = block;
        const uint32_t place = (uint32_t)((element + (uint64_t)v) % 4);
        out[v] = place == 0 ? words[0] : place == 1 ? words[1] : place == 2 ? words[2] : words[3];
    }
}
