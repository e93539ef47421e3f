// The skinny products of LoRA; formulas are those of linear_lora.c. Three kernels serve both sides of a part: sums
// along rows of x or dout, sums over ranks, sums over rows. Threads hold packs of neighbouring columns, and sums for
// a few rows or ranks of each in registers, so that a number that is loaded is used eight times or more.
#include "models/ops/dropout_cuda.cuh"

enum {
    LORA_THREADS = 256,
    LORA_WARPS = LORA_THREADS / 32,
    RANKS = 8, // at once
    ROWS = 4,  // at once
    MOST_ROW_BLOCKS = 64,
    MOST_PARTIALS = 1 << 22 // sums over blocks of rows that wait, where a factor leaves room for two blocks
};

// A part beside the input (with A) or the output (with B): columns FIRST to FIRST + C of rows of WIDTH numbers.
template <class T> struct lora_side {
    const T *w; // A (r, C), or B (C, r)
    int64_t r, C, first;
    int64_t at;          // its columns of mid
    int64_t groups;      // of RANKS, those of the parts before it included
    int64_t partials;    // sums over rows that parts before it have
    float scale;
    row_dropout dropout; // rows NULL: none
};

template <class T> struct lora_sides {
    lora_side<T> side[LORA_PARTS];
    int parts;
    int64_t N, width, R;
    bool packs; // rows of B are whole packs
};

// The part and the first rank of group G of all parts' groups.
template <class T>
static __device__ __forceinline__ const lora_side<T> &side_of(const lora_sides<T> &all, int64_t g, int64_t *rank) {
    int i = 0;
    while (i + 1 < all.parts && g >= all.side[i].groups) i++;
    *rank = (g - (i ? all.side[i - 1].groups : 0)) * RANKS;
    return all.side[i];
}

// The factors of ranks J to J + RANKS for column C of B; 0 behind the last.
template <class T>
static __device__ __forceinline__ void turned_factors(float (&w)[RANKS], const lora_side<T> &g, int64_t c, int64_t j,
                                                      bool packs) {
    const T *from = g.w + c * g.r + j;
    if (packs)
        load(w, from);
    else
        UNROLL for (int k = 0; k < RANKS; k++) w[k] = j + k < g.r ? widen(from[k]) : 0;
}

template <class T, int V>
static __device__ __forceinline__ void plain_factors(float (&w)[V], const lora_side<T> &g, int64_t c, int64_t j) {
    if (j < g.r)
        load(w, g.w + j * g.C + c);
    else
        UNROLL for (int v = 0; v < V; v++) w[v] = 0;
}

// A pack of a row, dropped; 0 behind the last row.
template <class T, int V>
static __device__ __forceinline__ void load_row(float (&x)[V], const T *from, const lora_sides<T> &all,
                                                const lora_side<T> &g, int64_t n, int64_t end, int64_t c) {
    UNROLL for (int v = 0; v < V; v++) x[v] = 0;
    if (n >= end) return;
    load(x, from + n * all.width + g.first + c);
    if (g.dropout.rows) g.dropout.apply(x, n, c);
}

// mid = scale * x w^T. SPLIT warps share ROWS rows and take turns along them; blocks beside each other have the same
// rows and other ranks.
template <class T, bool TURNED, int V>
__global__ void __launch_bounds__(LORA_THREADS)
    dots_kernel(float *mid, const T *x, lora_sides<T> all, int64_t groups, int split) {
    SHARED(float, parts, LORA_WARPS *ROWS *RANKS);
    int64_t j = 0;
    const lora_side<T> &g = side_of(all, blockIdx.x % groups, &j);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, teams = LORA_WARPS / split;
    const int64_t first = blockIdx.x / groups * teams * ROWS, n = first + warp / split * ROWS;
    float sum[ROWS][RANKS];
    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int k = 0; k < RANKS; k++) sum[i][k] = 0;
    for (int64_t c = ((int64_t)(warp % split) * 32 + lane) * V; c < g.C; c += (int64_t)split * 32 * V) {
        float row[ROWS][V];
        UNROLL for (int i = 0; i < ROWS; i++) load_row(row[i], x, all, g, n + i, all.N, c);
        if constexpr (TURNED) {
            UNROLL for (int v = 0; v < V; v++) {
                float w[RANKS];
                turned_factors(w, g, c + v, j, all.packs);
                UNROLL for (int i = 0; i < ROWS; i++)
                    UNROLL for (int k = 0; k < RANKS; k++) sum[i][k] += row[i][v] * w[k];
            }
        } else {
            UNROLL for (int k = 0; k < RANKS; k++) {
                float w[V];
                plain_factors(w, g, c, j + k);
                UNROLL for (int i = 0; i < ROWS; i++)
                    UNROLL for (int v = 0; v < V; v++) sum[i][k] += row[i][v] * w[v];
            }
        }
    }
    UNROLL for (int i = 0; i < ROWS; i++)
        UNROLL for (int k = 0; k < RANKS; k++) {
            const float total = lanes_sum(sum[i][k], 32);
            if (lane == 0) parts[(warp * ROWS + i) * RANKS + k] = total;
        }
    BLOCK_SYNC();
    for (int i = (int)threadIdx.x; i < teams * ROWS * RANKS; i += LORA_THREADS) {
        const int k = i % RANKS, row = i / RANKS % ROWS, team = i / RANKS / ROWS;
        float total = 0;
        for (int w = 0; w < split; w++) total += parts[((team * split + w) * ROWS + row) * RANKS + k];
        const int64_t at = first + team * ROWS + row;
        if (at < all.N && j + k < g.r) mid[at * all.R + g.at + j + k] = g.scale * total;
    }
}

// What ranks J to J + RANKS of rows N to N + ROWS add to a pack of columns.
template <class T, bool TURNED, int V>
static __device__ __forceinline__ void add_ranks(float (&sum)[ROWS][V], const float *mid, const lora_sides<T> &all,
                                                 const lora_side<T> &g, int64_t n, int64_t c, int64_t j) {
    float m[ROWS][RANKS];
    UNROLL for (int i = 0; i < ROWS; i++)
        UNROLL for (int k = 0; k < RANKS; k++)
            m[i][k] = n + i < all.N && j + k < g.r ? mid[(n + i) * all.R + g.at + j + k] : 0;
    if constexpr (TURNED) {
        UNROLL for (int v = 0; v < V; v++) {
            float w[RANKS];
            turned_factors(w, g, c + v, j, all.packs);
            UNROLL for (int i = 0; i < ROWS; i++)
                UNROLL for (int k = 0; k < RANKS; k++) sum[i][v] += m[i][k] * w[k];
        }
    } else {
        UNROLL for (int k = 0; k < RANKS; k++) {
            float w[V];
            plain_factors(w, g, c, j + k);
            UNROLL for (int i = 0; i < ROWS; i++)
                UNROLL for (int v = 0; v < V; v++) sum[i][v] += m[i][k] * w[v];
        }
    }
}

// y += scale * mid w, dropped: TURNED each part at its columns (blockIdx.z), else all parts at the same ones. ACROSS
// blocks beside each other have the same rows.
template <class T, bool TURNED, int V>
__global__ void __launch_bounds__(LORA_THREADS)
    spread_kernel(T *y, const float *mid, lora_sides<T> all, unsigned across) {
    const int begin = TURNED ? (int)blockIdx.z : 0, end = TURNED ? begin + 1 : all.parts;
    const int64_t c = ((int64_t)(blockIdx.x % across) * LORA_THREADS + threadIdx.x) * V;
    const int64_t n = (int64_t)(blockIdx.x / across) * ROWS;
    if (c >= all.side[begin].C) return;
    float total[ROWS][V];
    UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int v = 0; v < V; v++) total[i][v] = 0;
    for (int p = begin; p < end; p++) {
        const lora_side<T> &g = all.side[p];
        float sum[ROWS][V];
        UNROLL for (int i = 0; i < ROWS; i++) UNROLL for (int v = 0; v < V; v++) sum[i][v] = 0;
        for (int64_t j = 0; j < g.r; j += RANKS) add_ranks<T, TURNED>(sum, mid, all, g, n, c, j);
        UNROLL for (int i = 0; i < ROWS; i++) {
            if (g.dropout.rows && n + i < all.N) g.dropout.apply(sum[i], n + i, c);
            UNROLL for (int v = 0; v < V; v++) total[i][v] += g.scale * sum[i][v];
        }
    }
    UNROLL for (int i = 0; i < ROWS; i++)
        if (n + i < all.N) give(y + (n + i) * all.width + all.side[begin].first + c, total[i], 1);
}

// partial (blocks, all parts' (C, r) or (r, C)) = mid^T x over each block of rows (blockIdx.y).
template <class T, bool TURNED, int V>
__global__ void __launch_bounds__(LORA_THREADS)
    row_sums_kernel(float *partial, int64_t count, const T *x, const float *mid, lora_sides<T> all) {
    int64_t j = 0;
    const lora_side<T> &g = side_of(all, blockIdx.z, &j);
    const int64_t c = ((int64_t)blockIdx.x * LORA_THREADS + threadIdx.x) * V;
    const int64_t end = all.N * (blockIdx.y + 1) / gridDim.y;
    if (c >= g.C) return;
    float sum[RANKS][V];
    UNROLL for (int k = 0; k < RANKS; k++) UNROLL for (int v = 0; v < V; v++) sum[k][v] = 0;
    for (int64_t n = all.N * blockIdx.y / gridDim.y; n < end; n += ROWS) {
        float row[ROWS][V];
        UNROLL for (int i = 0; i < ROWS; i++) load_row(row[i], x, all, g, n + i, end, c);
        UNROLL for (int i = 0; i < ROWS; i++)
            UNROLL for (int k = 0; k < RANKS; k++) {
                const float m = n + i < end && j + k < g.r ? mid[(n + i) * all.R + g.at + j + k] : 0;
                UNROLL for (int v = 0; v < V; v++) sum[k][v] += m * row[i][v];
            }
    }
    float *to = partial + blockIdx.y * count + g.partials;
    UNROLL for (int k = 0; k < RANKS; k++)
        UNROLL for (int v = 0; v < V; v++)
            if (j + k < g.r) to[TURNED ? (c + v) * g.r + j + k : (j + k) * g.C + c + v] = sum[k][v];
}

// d = or += scale * the blocks' sums.
struct row_sums_body {
    float *d;
    const float *partial;
    int64_t count, blocks;
    float scale;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        double sum[V];
        float x[V];
        UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
        for (int64_t b = 0; b < blocks; b++) {
            load(x, partial + b * count + i);
            UNROLL for (int v = 0; v < V; v++) sum[v] += (double)x[v];
        }
        UNROLL for (int v = 0; v < V; v++) x[v] = (float)((double)scale * sum[v]);
        give(d + i, x, acc);
    }
};

// --- launches --------------------------------------------------------------------------------------------
// The parts beside the output (TURNED, with B) or the input.
template <class T, bool TURNED> static lora_sides<T> sides_of(const lora_shape *z, const stream *s) {
    lora_sides<T> all = {};
    all.parts = z->parts, all.N = z->N, all.width = TURNED ? z->O : z->K, all.R = z->R;
    all.packs = true;
    int64_t groups = 0, partials = 0;
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        lora_side<T> *g = &all.side[i];
        g->w = (const T *)(TURNED ? p->b : p->a);
        g->r = p->r, g->C = TURNED ? p->n : z->K, g->first = TURNED ? p->first : 0, g->at = p->at;
        g->scale = TURNED ? (float)p->scale : 1;
        g->groups = groups += divide_up(g->r, RANKS);
        g->partials = partials;
        partials += g->r * g->C;
        const dropout_shape drop = {z->N, z->K, 1, z->rate, p->key, 0, TURNED ? NULL : z->rows};
        g->dropout = row_dropout_from(&drop, s);
        all.packs = all.packs && g->r % RANKS == 0 && aligned(g->w);
    }
    return all;
}

// Whether packs of columns may be moved in rows of x, and in A's where it is A that they meet.
template <class T, bool TURNED> static bool whole_columns(const lora_sides<T> &all, const void *x) {
    const int V = PACK<T>;
    bool whole = all.width % V == 0 && aligned(x);
    for (int i = 0; i < all.parts; i++) {
        const lora_side<T> &g = all.side[i];
        whole = whole && g.C % V == 0 && g.first % V == 0 && (TURNED || aligned(g.w));
    }
    return whole;
}

template <class T> static int64_t widest(const lora_sides<T> &all) {
    int64_t most = 0;
    for (int i = 0; i < all.parts; i++) most = all.side[i].C > most ? all.side[i].C : most;
    return most;
}

template <class T, bool TURNED, int V>
static void launch_dots(const char *name, float *mid, const void *x, const lora_sides<T> &all, stream *s) {
    const int64_t groups = all.side[all.parts - 1].groups;
    const int split = all.N > 16 * ROWS ? 1 : LORA_WARPS; // few rows: a whole block to a few of them
    const int64_t tiles = divide_up(all.N, LORA_WARPS / split * ROWS);
    LAUNCH(s, name, (dots_kernel<T, TURNED, V>), dim3((unsigned)(tiles * groups)), dim3(LORA_THREADS), mid,
           (const T *)x, all, groups, split);
}

template <class T, bool TURNED, int V>
static void launch_spread(const char *name, void *y, const float *mid, const lora_sides<T> &all, stream *s) {
    const unsigned across = (unsigned)divide_up(widest(all), LORA_THREADS * V);
    LAUNCH(s, name, (spread_kernel<T, TURNED, V>),
           dim3(across * (unsigned)divide_up(all.N, ROWS), 1, TURNED ? (unsigned)all.parts : 1), dim3(LORA_THREADS),
           (T *)y, mid, all, across);
}

// Blocks of rows for COUNT sums of each.
static int64_t row_blocks(int64_t N, int64_t count) {
    int64_t most = MOST_PARTIALS / count, blocks = divide_up(N, 64);
    most = most < 1 ? 1 : most > MOST_ROW_BLOCKS ? (int64_t)MOST_ROW_BLOCKS : most;
    return blocks < 1 ? 1 : blocks < most ? blocks : most;
}

static int64_t sums_of(const lora_shape *z, bool turned) {
    int64_t count = 0;
    for (int i = 0; i < z->parts; i++) count += z->part[i].r * (turned ? z->part[i].n : z->K);
    return count;
}

template <class T, bool TURNED, int V>
static void launch_row_sums(const char *name, float *partial, const void *x, const float *mid,
                            const lora_sides<T> &all, int64_t count, int64_t blocks, stream *s) {
    const dim3 grid((unsigned)divide_up(widest(all), LORA_THREADS * V), (unsigned)blocks,
                    (unsigned)all.side[all.parts - 1].groups);
    LAUNCH(s, name, (row_sums_kernel<T, TURNED, V>), grid, dim3(LORA_THREADS), partial, count, (const T *)x, mid,
           all);
}

// The gradients of all parts' factors of one side.
template <class T, bool TURNED>
static void factor_gradients(const char *name, const void *x, const float *mid, const lora_sides<T> &all,
                             const lora_shape *z, void *scratch, stream *s) {
    const int64_t count = sums_of(z, TURNED), blocks = row_blocks(z->N, count);
    float *partial = (float *)scratch;
    bool wanted = false;
    for (int i = 0; i < z->parts; i++) wanted = wanted || (TURNED ? z->part[i].db : z->part[i].da);
    if (!wanted) return;
    if (whole_columns<T, TURNED>(all, x))
        launch_row_sums<T, TURNED, PACK<T>>(name, partial, x, mid, all, count, blocks, s);
    else
        launch_row_sums<T, TURNED, 1>(name, partial, x, mid, all, count, blocks, s);
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        const lora_side<T> *g = &all.side[i];
        const row_sums_body body = {(float *)(TURNED ? p->db : p->da), partial + g->partials, count, blocks,
                                    g->scale, TURNED ? p->acc_b : p->acc_a};
        if (body.d) each<4>(name, g->r * g->C, body, count % 4 == 0 && aligned(body.d, body.partial), s);
    }
}

template <class T, bool TURNED>
static void dots(const char *name, void *mid, const void *x, const lora_sides<T> &all, stream *s) {
    if (whole_columns<T, TURNED>(all, x))
        launch_dots<T, TURNED, PACK<T>>(name, (float *)mid, x, all, s);
    else
        launch_dots<T, TURNED, 1>(name, (float *)mid, x, all, s);
}

template <class T, bool TURNED>
static void spread(const char *name, void *y, const void *mid, const lora_sides<T> &all, stream *s) {
    if (whole_columns<T, TURNED>(all, y))
        launch_spread<T, TURNED, PACK<T>>(name, y, (const float *)mid, all, s);
    else
        launch_spread<T, TURNED, 1>(name, y, (const float *)mid, all, s);
}

// --- the kernels -------------------------------------------------------------------------------------------
size_t lora_scratch_cuda(const lora_shape *z, dtype type, stream *s) {
    (void)type, (void)s;
    const int64_t inner = sums_of(z, false), outer = sums_of(z, true);
    const int64_t a = inner * row_blocks(z->N, inner), b = outer * row_blocks(z->N, outer);
    return (size_t)(a > b ? a : b) * sizeof(float);
}

template <class T> static void down(void *mid, const void *inp, const lora_shape *z, stream *s) {
    dots<T, false>("lora_down", mid, inp, sides_of<T, false>(z, s), s);
}

void lora_down_cuda(void *mid, const void *inp, const lora_shape *z, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    (void)scratch;
    FOR_TYPE("linear_lora", type, down, mid, inp, z, s);
}

template <class T> static void up(void *out, const void *mid, const lora_shape *z, stream *s) {
    spread<T, true>("lora_up", out, mid, sides_of<T, true>(z, s), s);
}

void lora_up_cuda(void *out, const void *mid, const lora_shape *z, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    (void)scratch;
    FOR_TYPE("linear_lora", type, up, out, mid, z, s);
}

template <class T>
static void up_backward(void *dmid, const void *dout, const void *mid, const lora_shape *z, void *scratch,
                        stream *s) {
    const lora_sides<T> all = sides_of<T, true>(z, s);
    if (dmid) dots<T, true>("lora_up_backward", dmid, dout, all, s);
    factor_gradients<T, true>("lora_up_backward", dout, (const float *)mid, all, z, scratch, s);
}

void lora_up_backward_cuda(void *dmid, const void *dout, const void *mid, const lora_shape *z, dtype type,
                           void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("linear_lora", type, up_backward, dmid, dout, mid, z, scratch, s);
}

template <class T>
static void down_backward(void *dinp, const void *dmid, const void *inp, const lora_shape *z, void *scratch,
                          stream *s) {
    const lora_sides<T> all = sides_of<T, false>(z, s);
    if (dinp) spread<T, false>("lora_down_backward", dinp, dmid, all, s);
    factor_gradients<T, false>("lora_down_backward", inp, (const float *)dmid, all, z, scratch, s);
}

void lora_down_backward_cuda(void *dinp, const void *dmid, const void *inp, const lora_shape *z, dtype type,
                             void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("linear_lora", type, down_backward, dinp, dmid, inp, z, scratch, s);
}
