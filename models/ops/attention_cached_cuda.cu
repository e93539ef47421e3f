// Formulas are those of attention_cached.c. A block takes the queries of one row that share a key
// head, up to GROUP of them, on CHUNK positions; a second kernel merges what the blocks of a query
// found, in the order of positions. Which positions meet in a block depends on nothing else, so a
// row's result is the same in every batch.
#include "models/ops/ops_cuda.cuh"

#include <float.h>

enum { THREADS = 128, WARPS = THREADS / 32, CHUNK = 128, SLICE = 256, MERGE_THREADS = 128 };

struct cached_plan {
    int64_t first; // row of the slice
    int64_t HQ, HK, D, P, slots, most, prefix, prefix_slot, chunks;
    float scale;
    const int32_t *slot, *position;
};

static __device__ __forceinline__ bool is_there(const cached_plan &z, int64_t n) {
    return z.slot[n] >= 0 && z.slot[n] < z.slots && z.position[n] >= 0 && z.position[n] < z.most;
}

// The key (or value) of position P that row N sees, in its cache.
static __device__ __forceinline__ int64_t place_of(const cached_plan &z, int64_t n, int64_t h,
                                                   int64_t p) {
    const int64_t slot = p < z.prefix ? z.prefix_slot : z.slot[n];
    return ((slot * z.HK + h) * z.P + p) * z.D;
}

// --- writing -------------------------------------------------------------------------------------
template <class T> struct write_body {
    T *k_cache, *v_cache;
    const T *k, *v;
    cached_plan z;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t d = i % z.D, h = i / z.D % z.HK, n = i / (z.D * z.HK);
        if (!is_there(z, n)) return;
        const int64_t to = ((z.slot[n] * z.HK + h) * z.P + z.position[n]) * z.D + d;
        *reinterpret_cast<pack<T, V> *>(k_cache + to) = *reinterpret_cast<const pack<T, V> *>(k + i);
        *reinterpret_cast<pack<T, V> *>(v_cache + to) = *reinterpret_cast<const pack<T, V> *>(v + i);
    }
};

static cached_plan plan_of(const cached_shape *z) {
    cached_plan p = {};
    p.HQ = z->HQ, p.HK = z->HK, p.D = z->D, p.P = z->P, p.slots = z->slots, p.most = z->most;
    p.prefix = z->prefix, p.prefix_slot = z->prefix_slot;
    p.chunks = divide_up(z->most, CHUNK);
    p.scale = (float)z->scale;
    p.slot = z->slot, p.position = z->position;
    return p;
}

template <class T>
static void write_all(void *k_cache, void *v_cache, const void *k, const void *v,
                      const cached_shape *z, stream *s) {
    const write_body<T> body = {(T *)k_cache, (T *)v_cache, (const T *)k, (const T *)v, plan_of(z)};
    each<PACK<T>>("cache_write", z->N * z->HK * z->D, body,
                  z->D % PACK<T> == 0 && aligned(k_cache, v_cache, k, v), s);
}

void cache_write_cuda(void *k_cache, void *v_cache, const void *k, const void *v,
                      const cached_shape *z, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("cache_write", type, write_all, k_cache, v_cache, k, v, z, s);
}

// --- reading -------------------------------------------------------------------------------------
// How WIDTH numbers of a head, V at a time, are shared by neighbouring lanes of a warp.
template <int WIDTH, int V> struct spread {
    static constexpr int LANES = WIDTH / V < 32 ? WIDTH / V : 32;
    static constexpr int PACKS = WIDTH / V / LANES;
};

template <int WIDTH, int V, class T>
static __device__ __forceinline__ void load_head(float (&to)[WIDTH / spread<WIDTH, V>::LANES],
                                                 const T *from, int64_t D, int lane, bool there) {
    UNROLL for (int p = 0; p < spread<WIDTH, V>::PACKS; p++) {
        const int d = (p * spread<WIDTH, V>::LANES + lane) * V;
        float x[V];
        if (there && d < D)
            load(x, from + d);
        else
            UNROLL for (int v = 0; v < V; v++) x[v] = 0;
        UNROLL for (int v = 0; v < V; v++) to[p * V + v] = x[v];
    }
}

// S (GROUP, CHUNK): scores, then exp(score - largest); numbers: {largest, total} of each query.
template <int GROUP>
static __device__ __forceinline__ void weigh(shared_array<float> S, shared_array<float> numbers,
                                             int count) {
    const int lane = (int)threadIdx.x % 32;
    for (int g = (int)threadIdx.x / 32; g < GROUP; g += WARPS) {
        float most = -FLT_MAX, total = 0;
        for (int j = lane; j < count; j += 32) most = fmaxf(most, S[g * CHUNK + j]);
        most = lanes_max(most, 32);
        for (int j = lane; j < count; j += 32) {
            const float weight = fast_exp(S[g * CHUNK + j] - most);
            S[g * CHUNK + j] = weight;
            total += weight;
        }
        total = lanes_sum(total, 32);
        if (lane == 0) numbers[2 * g] = most, numbers[2 * g + 1] = total;
    }
}

template <class T, int WIDTH, int V, int GROUP>
__global__ void __launch_bounds__(THREADS)
    parts_kernel(float *parts, const T *q, const T *k, const T *v, cached_plan z) {
    using shape = spread<WIDTH, V>;
    constexpr int OWN = WIDTH / shape::LANES, SIDE = 32 / shape::LANES, STRIDE = WARPS * SIDE;
    SHARED(float, S, GROUP *CHUNK);
    SHARED(float, numbers, GROUP * 2);
    SHARED(float, R, WARPS *GROUP *WIDTH);
    const int64_t n = z.first + blockIdx.x, group = z.HQ / z.HK, tiles = (group + GROUP - 1) / GROUP;
    const int64_t h = blockIdx.y / tiles, g0 = h * group + blockIdx.y % tiles * GROUP;
    const int64_t from = (int64_t)blockIdx.z * CHUNK;
    if (!is_there(z, n) || from > z.position[n]) return;
    const int left = (int)(z.position[n] + 1 - from), count = left < CHUNK ? left : CHUNK;
    const int queries = (int)((h + 1) * group - g0 < GROUP ? (h + 1) * group - g0 : GROUP);
    const int lane = (int)threadIdx.x % shape::LANES, side = (int)threadIdx.x / shape::LANES;
    float x[GROUP][OWN], y[OWN];
    UNROLL for (int g = 0; g < GROUP; g++)
        load_head<WIDTH, V>(x[g], q + (n * z.HQ + g0 + g) * z.D, z.D, lane, g < queries);
    for (int j = 0; j < count; j += STRIDE) { // every lane of a warp takes part in sums
        const bool there = j + side < count;
        load_head<WIDTH, V>(y, k + place_of(z, n, h, there ? from + j + side : from), z.D, lane, there);
        UNROLL for (int g = 0; g < GROUP; g++) {
            float sum = 0;
            UNROLL for (int i = 0; i < OWN; i++) sum += x[g][i] * y[i];
            sum = lanes_sum(sum, shape::LANES);
            if (there && lane == 0) S[g * CHUNK + j + side] = sum * z.scale;
        }
    }
    BLOCK_SYNC();
    weigh<GROUP>(S, numbers, count);
    BLOCK_SYNC();
    UNROLL for (int g = 0; g < GROUP; g++) UNROLL for (int i = 0; i < OWN; i++) x[g][i] = 0;
    for (int j = side; j < count; j += STRIDE) {
        load_head<WIDTH, V>(y, v + place_of(z, n, h, from + j), z.D, lane, true);
        UNROLL for (int g = 0; g < GROUP; g++) {
            const float weight = S[g * CHUNK + j];
            UNROLL for (int i = 0; i < OWN; i++) x[g][i] += weight * y[i];
        }
    }
    UNROLL for (int g = 0; g < GROUP; g++) UNROLL for (int i = 0; i < OWN; i++) {
        for (int mask = shape::LANES; mask < 32; mask *= 2) x[g][i] += lane_xor(x[g][i], mask);
        const int d = (i / V * shape::LANES + lane) * V + i % V;
        if (side % SIDE == 0) R[(side / SIDE * GROUP + g) * WIDTH + d] = x[g][i];
    }
    BLOCK_SYNC();
    for (int i = (int)threadIdx.x; i < queries * (int)z.D; i += THREADS) {
        const int g = i / (int)z.D, d = i % (int)z.D;
        float sum = 0;
        UNROLL for (int w = 0; w < WARPS; w++) sum += R[(w * GROUP + g) * WIDTH + d];
        float *to = parts + ((blockIdx.x * z.HQ + g0 + g) * z.chunks + blockIdx.z) * (z.D + 2);
        to[2 + d] = sum;
        if (d < 2) to[d] = numbers[2 * g + d];
        if (z.D == 1) to[1] = numbers[2 * g + 1];
    }
}

// A row outside of the cache is not the kernel's to report, as no launch waits for the host: its
// numbers become NaN.
template <class T>
__global__ void __launch_bounds__(MERGE_THREADS)
    merge_kernel(T *out, const float *parts, cached_plan z) {
    const int64_t n = z.first + blockIdx.x / z.HQ, g = blockIdx.x % z.HQ;
    const bool there = is_there(z, n);
    const int64_t count = there ? z.position[n] / CHUNK + 1 : 0, size = z.D + 2;
    const float *own = parts + (int64_t)blockIdx.x * z.chunks * size;
    float largest = -FLT_MAX;
    for (int64_t i = 0; i < count; i++) largest = fmaxf(largest, own[i * size]);
    for (int64_t d = threadIdx.x; d < z.D; d += MERGE_THREADS) {
        float sum = 0, total = 0;
        for (int64_t i = 0; i < count; i++) {
            const float weight = fast_exp(own[i * size] - largest);
            sum += weight * own[i * size + 2 + d];
            total += weight * own[i * size + 1];
        }
        narrow_to(out + (n * z.HQ + g) * z.D + d, there ? sum / total : z.slot[n] < 0 ? 0 : NAN);
    }
}

template <class T, int WIDTH, int V, int GROUP>
static void launch_parts(float *parts, const T *q, const T *k, const T *v, const cached_plan &z,
                         int64_t rows, stream *s) {
    const dim3 grid((unsigned)rows, (unsigned)(z.HK * divide_up(z.HQ / z.HK, GROUP)),
                    (unsigned)z.chunks);
    LAUNCH(s, "attention_cached_forward", (parts_kernel<T, WIDTH, V, GROUP>), grid, dim3(THREADS),
           parts, q, k, v, z);
}

template <class T, int WIDTH, int V>
static void parts_of_width(float *parts, const T *q, const T *k, const T *v, const cached_plan &z,
                           int64_t rows, stream *s) {
    if (z.HQ == z.HK)
        launch_parts<T, WIDTH, V, 1>(parts, q, k, v, z, rows, s);
    else
        launch_parts<T, WIDTH, V, 4>(parts, q, k, v, z, rows, s);
}

template <class T>
static void forward_all(void *out, const void *q, const void *k, const void *v,
                        const cached_shape *z, void *scratch, stream *s) {
    const T *x = (const T *)q, *keys = (const T *)k, *values = (const T *)v;
    float *parts = (float *)scratch;
    cached_plan p = plan_of(z);
    const bool whole = z->D % PACK<T> == 0 && aligned(q, k, v);
    if (z->HQ > 65535 || p.chunks > 65535)
        die("attention_cached: %lld heads, %lld keys", (long long)z->HQ, (long long)z->most);
    for (; p.first < z->N; p.first += SLICE) {
        const int64_t rows = blocks_for(z->N - p.first, SLICE);
        if (!whole)
            parts_of_width<T, CACHED_WIDEST, 1>(parts, x, keys, values, p, rows, s);
        else if (z->D <= 64)
            parts_of_width<T, 64, PACK<T>>(parts, x, keys, values, p, rows, s);
        else if (z->D <= 128)
            parts_of_width<T, 128, PACK<T>>(parts, x, keys, values, p, rows, s);
        else
            parts_of_width<T, CACHED_WIDEST, PACK<T>>(parts, x, keys, values, p, rows, s);
        LAUNCH(s, "attention_cached_forward", merge_kernel<T>, dim3((unsigned)(rows * z->HQ)),
               dim3(MERGE_THREADS), (T *)out, parts, p);
    }
}

void attention_cached_forward_cuda(void *out, const void *q, const void *k_cache,
                                   const void *v_cache, const cached_shape *z, dtype type,
                                   void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("attention_cached", type, forward_all, out, q, k_cache, v_cache, z, scratch, s);
}

size_t attention_cached_scratch_cuda(const cached_shape *z, dtype type, stream *s) {
    const int64_t rows = blocks_for(z->N, SLICE);
    (void)type, (void)s;
    return (size_t)(rows * z->HQ * divide_up(z->most, CHUNK) * (z->D + 2)) * sizeof(float);
}
