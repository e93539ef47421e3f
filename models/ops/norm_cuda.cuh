// Normalisation of rows, for the CUDA kernels that do it: where rows come from and where their gradients go is
// each one's own. Formulas are those of layer_norm.c. For models/ops/*_cuda.cu.
//
// A row lies in the registers of a group of threads: MANY packs of V numbers each. Blocks of 256 threads hold
// one to eight groups.
#pragma once
#include "models/ops/columns_cuda.cuh"

// The widest rows in whole packs and in single numbers: what fits into registers.
enum { NORM_THREADS = 256, NORM_WIDTH = 8192, NORM_WIDTH_ODD = 2048, NORM_BLOCKS = 512 };

typedef struct norm_plan {
    int64_t rows, D, blocks;
    int group; // threads to a row: 32 to 256
} norm_plan;

// Two sums over a group's threads, given to all of them. SHARED memory (2, NORM_THREADS / 32).
static __device__ __forceinline__ void group_sums(float &a, float &b, int group, shared_array<float> parts) {
    a = lanes_sum(a, 32);
    b = lanes_sum(b, 32);
    if (group == 32) return;
    const int w = (int)threadIdx.x / 32, many = group / 32, first = w / many * many;
    BLOCK_SYNC(); // what was in PARTS has been read
    if (threadIdx.x % 32 == 0) {
        parts[w] = a;
        parts[NORM_THREADS / 32 + w] = b;
    }
    BLOCK_SYNC();
    a = b = 0;
    for (int i = first; i < first + many; i++) {
        a += parts[i];
        b += parts[NORM_THREADS / 32 + i];
    }
}

// The mean is subtracted before squaring; what its rounding leaves is found in the same sweep and corrected.
// SOURCE.read(x, r, c) gives row r's numbers from column c on.
template <class T, int V, int MANY, class Source>
__global__ void __launch_bounds__(NORM_THREADS)
    norm_kernel(T *out, float *mean, float *rstd, Source source, const float *weight, const float *bias,
                norm_plan p, float eps) {
    SHARED(float, parts, 2 * (NORM_THREADS / 32));
    const int own = (int)threadIdx.x % p.group, high = NORM_THREADS / p.group;
    for (int64_t first = (int64_t)blockIdx.x * high; first < p.rows; first += (int64_t)gridDim.x * high) {
        const int64_t r = first + threadIdx.x / p.group;
        float x[MANY][V], sum = 0, none = 0;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            const bool there = r < p.rows && c < p.D;
            if (there) source.read(x[m], r, c);
            UNROLL for (int v = 0; v < V; v++) {
                if (!there) x[m][v] = 0;
                sum += x[m][v];
            }
        }
        group_sums(sum, none, p.group, parts);
        const float shift = sum / (float)p.D;
        float rest = 0, square = 0;
        UNROLL for (int m = 0; m < MANY; m++)
            UNROLL for (int v = 0; v < V; v++) {
                const float d = ((int64_t)m * p.group + own) * V < p.D ? x[m][v] - shift : 0;
                rest += d;
                square += d * d;
            }
        group_sums(rest, square, p.group, parts);
        rest /= (float)p.D;
        const float var = square / (float)p.D - rest * rest, scale = 1 / sqrtf((var < 0 ? 0 : var) + eps);
        if (r >= p.rows) continue;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            float w[V], b[V];
            if (c >= p.D) continue;
            load(w, weight + c);
            load(b, bias + c);
            UNROLL for (int v = 0; v < V; v++) x[m][v] = (x[m][v] - shift - rest) * scale * w[v] + b[v];
            store(out + r * p.D + c, x[m]);
        }
        if (own == 0) {
            mean[r] = shift + rest;
            rstd[r] = scale;
        }
    }
}

// The gradient of each row goes to SINK.give(g, r, c) if SINK.wanted(); what the block's rows add to dweight and
// dbias to partial (blocks, 2, D), NULL if unwanted.
template <class T, int V, int MANY, class Sink>
__global__ void __launch_bounds__(NORM_THREADS)
    norm_back_kernel(Sink sink, float *partial, const T *dout, const T *inp, const float *mean, const float *rstd,
                     const float *weight, norm_plan p) {
    SHARED(float, parts, 2 * (NORM_THREADS / 32));
    SHARED(float, sums, NORM_THREADS *V);
    const int own = (int)threadIdx.x % p.group, high = NORM_THREADS / p.group, level = (int)threadIdx.x / p.group;
    const int64_t start = p.rows * blockIdx.x / p.blocks, end = p.rows * (blockIdx.x + 1) / p.blocks;
    float dw[MANY][V], db[MANY][V], w[MANY][V];
    UNROLL for (int m = 0; m < MANY; m++) {
        const int64_t c = ((int64_t)m * p.group + own) * V;
        UNROLL for (int v = 0; v < V; v++) dw[m][v] = db[m][v] = w[m][v] = 0;
        if (c < p.D) load(w[m], weight + c);
    }
    for (int64_t first = start; first < end; first += high) {
        const int64_t r = first + level;
        const float shift = r < end ? mean[r] : 0, scale = r < end ? rstd[r] : 0;
        float h[MANY][V], g[MANY][V], sum = 0, dot = 0;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            const bool there = r < end && c < p.D;
            if (there) load(h[m], inp + r * p.D + c);
            if (there) load(g[m], dout + r * p.D + c);
            UNROLL for (int v = 0; v < V; v++) {
                h[m][v] = there ? (h[m][v] - shift) * scale : 0;
                if (!there) g[m][v] = 0;
                dw[m][v] += g[m][v] * h[m][v];
                db[m][v] += g[m][v];
                g[m][v] *= w[m][v];
                sum += g[m][v];
                dot += g[m][v] * h[m][v];
            }
        }
        if (!sink.wanted()) continue;
        group_sums(sum, dot, p.group, parts);
        sum /= (float)p.D;
        dot /= (float)p.D;
        UNROLL for (int m = 0; m < MANY; m++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            UNROLL for (int v = 0; v < V; v++) g[m][v] = scale * (g[m][v] - sum - h[m][v] * dot);
            if (r < end && c < p.D) sink.give(g[m], r, c);
        }
    }
    if (!partial) return;
    // The groups' sums one after the other.
    UNROLL for (int m = 0; m < MANY; m++)
        UNROLL for (int which = 0; which < 2; which++) {
            const int64_t c = ((int64_t)m * p.group + own) * V;
            BLOCK_SYNC();
            UNROLL for (int v = 0; v < V; v++) sums[v * NORM_THREADS + threadIdx.x] = which ? db[m][v] : dw[m][v];
            BLOCK_SYNC();
            if (level || c >= p.D) continue;
            UNROLL for (int v = 0; v < V; v++) {
                float total = 0;
                for (int l = 0; l < high; l++) total += sums[v * NORM_THREADS + l * p.group + own];
                partial[((int64_t)blockIdx.x * 2 + which) * p.D + c + v] = total;
            }
        }
}

struct norm_finish {
    float *dweight, *dbias;
    int64_t D;
    int acc_weight, acc_bias;
    __device__ void put(int64_t i, double sum) const {
        float *to = i < D ? dweight : dbias;
        const int acc = i < D ? acc_weight : acc_bias;
        const int64_t c = i < D ? i : i - D;
        if (to) to[c] = (float)(sum + (acc ? (double)to[c] : 0));
    }
};

// --- which kernel ----------------------------------------------------------------------------------------
static inline norm_plan norm_plan_make(int64_t rows, int64_t D, int V) {
    norm_plan p = {rows, D, 1, 32};
    while (p.group < NORM_THREADS && (int64_t)p.group * V < D) p.group *= 2;
    p.blocks = divide_up(rows, (int64_t)(NORM_THREADS / p.group) * 4);
    p.blocks = p.blocks > NORM_BLOCKS ? (int64_t)NORM_BLOCKS : p.blocks < 1 ? 1 : p.blocks;
    return p;
}

template <class T, class Source> struct norm_task {
    const char *name;
    T *out;
    float *mean, *rstd;
    Source source;
    const float *weight, *bias;
    float eps;
    template <int V, int MANY> void launch(const norm_plan &p, stream *s) const {
        LAUNCH(s, name, (norm_kernel<T, V, MANY, Source>),
               dim3(blocks_for(divide_up(p.rows, NORM_THREADS / p.group), 1 << 20)), dim3(NORM_THREADS), out, mean,
               rstd, source, weight, bias, p, eps);
    }
};

template <class T, class Sink> struct norm_back_task {
    const char *name;
    Sink sink;
    float *partial;
    const T *dout, *inp;
    const float *mean, *rstd, *weight;
    template <int V, int MANY> void launch(const norm_plan &p, stream *s) const {
        LAUNCH(s, name, (norm_back_kernel<T, V, MANY, Sink>), dim3((unsigned)p.blocks), dim3(NORM_THREADS), sink,
               partial, dout, inp, mean, rstd, weight, p);
    }
};

// PACKS: all of the task's pointers are aligned.
template <class T, class Task>
static norm_plan norm_launch(const Task &k, int64_t rows, int64_t D, bool packs, stream *s) {
    constexpr int V = PACK<T>;
    const bool whole = D % V == 0 && packs;
    const norm_plan p = norm_plan_make(rows, D, whole ? V : 1);
    const int64_t width = (int64_t)p.group * (whole ? V : 1);
    const int most = whole ? NORM_WIDTH : NORM_WIDTH_ODD;
    if (D > most) die("%s: rows of %lld, expected at most %d", k.name, (long long)D, most);
    if (whole && D <= width)
        k.template launch<V, 1>(p, s);
    else if (whole && D <= 2 * width)
        k.template launch<V, 2>(p, s);
    else if (whole && D <= 4 * width)
        k.template launch<V, 4>(p, s);
    else if (whole)
        k.template launch<V, NORM_WIDTH / NORM_THREADS / V>(p, s);
    else if (D <= width)
        k.template launch<1, 1>(p, s);
    else
        k.template launch<1, NORM_WIDTH_ODD / NORM_THREADS>(p, s);
    return p;
}

// The same, and the blocks' sums into FINISH.
template <class T, class Task>
static void norm_launch_back(const Task &k, const norm_finish &finish, int64_t rows, int64_t D, bool packs,
                             stream *s) {
    const norm_plan p = norm_launch<T>(k, rows, D, packs, s);
    if (k.partial)
        LAUNCH(s, k.name, (column_finish_kernel<float, norm_finish>),
               dim3((unsigned)divide_up(2 * D, FINISH_ACROSS)), dim3(FINISH_ACROSS, FINISH_HIGH), k.partial, 2 * D,
               p.blocks, finish);
}
