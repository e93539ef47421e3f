// Sweeps over the rows of (rows, C), rows STRIDE numbers apart, in which a thread keeps to its columns: it loads
// what belongs to them once and goes down the rows. For norms, and for sums over the rows.
//
// A block of 256 threads is ACROSS packs of columns wide (a power of 2 up to a warp) and 256 / ACROSS rows high.
// Sums are taken in float over a few rows, in double beyond; first inside blocks of rows, then over the blocks,
// both in an order that the sizes decide. The blocks' sums wait in the stream's room for them.
#pragma once
#include "models/ops/ops_cuda.cuh"

enum { COLUMN_THREADS = 256, COLUMN_WARPS = COLUMN_THREADS / 32 };

typedef struct column_plan {
    int64_t rows, C, blocks; // of rows
    int across;              // packs side by side
    unsigned chunks;         // blocks of columns
} column_plan;

// V columns to a thread; at least EACH rows for each thread where there are so many, at most MOST blocks of rows.
static inline column_plan column_plan_make(int64_t rows, int64_t C, int V, int64_t each, int64_t most) {
    column_plan p = {rows, C, 1, 1, 1};
    const int64_t packs = divide_up(C, V);
    while (p.across < 32 && p.across < packs) p.across *= 2;
    p.chunks = (unsigned)divide_up(packs, p.across);
    const int64_t high = COLUMN_THREADS / p.across;
    p.blocks = divide_up(rows, high * each);
    if (p.blocks > most) p.blocks = most;
    if (p.blocks < 1) p.blocks = 1;
    return p;
}

// Where this thread's work is.
typedef struct column_place {
    int64_t c, row, end, step; // its first column; rows row, row + step, ... below end
} column_place;

static __device__ __forceinline__ column_place column_place_now(const column_plan &p, int V) {
    const int x = (int)threadIdx.x % p.across, y = (int)threadIdx.x / p.across;
    const int64_t block = blockIdx.y;
    return {((int64_t)blockIdx.x * p.across + x) * V, p.rows * block / p.blocks + y,
            p.rows * (block + 1) / p.blocks, COLUMN_THREADS / p.across};
}

// BODY.open(k, c) loads what belongs to columns c to c + V; BODY.row(k, r, c) does one row.
template <int V, class Body>
__global__ void __launch_bounds__(COLUMN_THREADS) columns_kernel(column_plan p, Body body) {
    column_place at = column_place_now(p, V);
    if (at.c >= p.C) return;
    typename Body::template columns<V> k;
    body.open(k, at.c);
    for (int64_t r = at.row; r < at.end; r += at.step) body.row(k, r, at.c);
}

template <int V, class Body>
static void columns_each(const char *name, int64_t rows, int64_t C, const Body &body, stream *s) {
    const column_plan p = column_plan_make(rows, C, V, 8, 65535);
    LAUNCH(s, name, (columns_kernel<V, Body>), dim3(p.chunks, (unsigned)p.blocks), dim3(COLUMN_THREADS), p,
           body);
}

// --- sums ----------------------------------------------------------------------------------------------
// BODY.add(k, a, b, r, c) adds row r's terms to a and b, in Body::number; FEW rows are added up in that before
// they go into a double. partial (blocks, 2, C).
template <int V, class Body>
__global__ void __launch_bounds__(COLUMN_THREADS)
    column_sums_kernel(double *partial, column_plan p, Body body) {
    SHARED(double, parts, COLUMN_WARPS * 32 * 2 * V);
    column_place at = column_place_now(p, V);
    typename Body::template columns<V> k;
    double sum[2 * V];
    typename Body::number few[2][V];
    UNROLL for (int v = 0; v < 2 * V; v++) sum[v] = 0;
    if (at.c < p.C) {
        body.open(k, at.c);
        for (int64_t r = at.row; r < at.end;) {
            UNROLL for (int v = 0; v < V; v++) few[0][v] = few[1][v] = 0;
            for (int i = 0; i < Body::FEW && r < at.end; i++, r += at.step) body.add(k, few[0], few[1], r, at.c);
            UNROLL for (int v = 0; v < V; v++) {
                sum[v] += (double)few[0][v];
                sum[V + v] += (double)few[1][v];
            }
        }
    }
    // Lanes of a warp that have the same columns, then the warps one after the other.
    const int lane = (int)threadIdx.x % 32, w = (int)threadIdx.x / 32, x = lane % p.across;
    for (int mask = 16; mask >= p.across; mask /= 2)
        UNROLL for (int v = 0; v < 2 * V; v++) sum[v] += lane_xor(sum[v], mask);
    if (lane < p.across)
        UNROLL for (int v = 0; v < 2 * V; v++) parts[(w * 2 * V + v) * 32 + x] = sum[v];
    BLOCK_SYNC();
    for (int i = (int)threadIdx.x; i < p.across * 2 * V; i += COLUMN_THREADS) {
        const int which = i / (p.across * V), inside = i % (p.across * V);
        const int64_t c = (int64_t)blockIdx.x * p.across * V + inside;
        double total = 0;
        for (int warp = 0; warp < COLUMN_WARPS; warp++)
            total += parts[(warp * 2 * V + which * V + inside % V) * 32 + inside / V];
        if (c < p.C) partial[((int64_t)blockIdx.y * 2 + which) * p.C + c] = total;
    }
}

// FINISH.put(i, sum) for the sums i of C a's and then C b's.
enum { FINISH_ACROSS = 32, FINISH_HIGH = 8 };
template <class N, class Finish>
__global__ void __launch_bounds__(FINISH_ACROSS *FINISH_HIGH)
    column_finish_kernel(const N *partial, int64_t count, int64_t blocks, Finish finish) {
    SHARED(double, parts, FINISH_ACROSS * FINISH_HIGH);
    const int x = (int)threadIdx.x, y = (int)threadIdx.y;
    const int64_t i = (int64_t)blockIdx.x * FINISH_ACROSS + x;
    double sum = 0;
    if (i < count)
        for (int64_t b = y; b < blocks; b += FINISH_HIGH) sum += (double)partial[b * count + i];
    parts[y * FINISH_ACROSS + x] = sum;
    BLOCK_SYNC();
    if (y || i >= count) return;
    double total = 0;
    for (int h = 0; h < FINISH_HIGH; h++) total += parts[h * FINISH_ACROSS + x];
    finish.put(i, total);
}

template <int V, class Body, class Finish>
static void column_sums(const char *name, int64_t rows, int64_t C, const Body &body, const Finish &finish,
                        stream *s) {
    const int64_t room = CUDA_PARTIALS / (2 * C), most = room < 512 ? room : 512;
    if (room < 1) die("%s: %lld columns, expected at most %d", name, (long long)C, CUDA_PARTIALS / 2);
    const column_plan p = column_plan_make(rows, C, V, 16, most);
    double *partial = stream_cuda(s)->partials;
    LAUNCH(s, name, (column_sums_kernel<V, Body>), dim3(p.chunks, (unsigned)p.blocks), dim3(COLUMN_THREADS),
           partial, p, body);
    LAUNCH(s, name, (column_finish_kernel<double, Finish>), dim3((unsigned)divide_up(2 * C, FINISH_ACROSS)),
           dim3(FINISH_ACROSS, FINISH_HIGH), partial, 2 * C, p.blocks, finish);
}

// --- the plain sum of a matrix's columns ------------------------------------------------------------------
template <class T> struct column_sum_body {
    typedef float number;
    enum { FEW = 8 };
    template <int V> struct columns {};
    const T *inp;
    int64_t stride;
    template <int V> __device__ void open(columns<V> &, int64_t) const {}
    template <int V>
    __device__ void add(const columns<V> &, float (&a)[V], float (&)[V], int64_t r, int64_t c) const {
        float x[V];
        load(x, inp + r * stride + c);
        UNROLL for (int v = 0; v < V; v++) a[v] += x[v];
    }
};

struct column_sum_finish {
    float *sums;
    int64_t C;
    int acc;
    __device__ void put(int64_t i, double sum) const {
        if (i < C) sums[i] = (float)(sum + (acc ? (double)sums[i] : 0));
    }
};

// sums f32 (C) = or += the sum over rows of inp (rows, C), rows STRIDE apart.
template <class T>
static void sum_columns(const char *name, float *sums, const T *inp, int64_t rows, int64_t C, int64_t stride,
                        int acc, stream *s) {
    const column_sum_body<T> body = {inp, stride};
    const column_sum_finish finish = {sums, C, acc};
    if (C % PACK<T> == 0 && stride % PACK<T> == 0 && aligned(inp))
        column_sums<PACK<T>>(name, rows, C, body, finish, s);
    else
        column_sums<1>(name, rows, C, body, finish, s);
}
