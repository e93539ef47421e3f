// Attention of our own: tiles of queries and keys meet in shared memory, and no score is kept. It takes heads of
// any width up to 256 in every type, with dropout; formulas are those of attention.c. Backward runs twice over the
// scores, once for the queries' gradients and once for the keys' and values', so that nobody adds to another's sums.
// Where cuDNN has engines (narrow types, no dropout, whole packs), its attention is taken instead.
//
// A block has 128 threads, x < 16 across and y < 8 down. In a tile of ROWS x COLS scores a thread holds rows
// y + 8 r and columns x + 16 c; of a row of WIDTH numbers (a head, padded) it holds a few neighbours.
#include "models/ops/ops_cuda.cuh"
extern "C" {
#include "core/cuda/cudnn_attention.h"
}

enum { THREADS = 128, ACROSS = 16, DOWN = 8, WIDEST = 256 };

// What the kernels know of a call.
typedef struct task {
    int64_t TQ, TK, H, row; // row: from a token to the next, H * D
    int D;
    float scale;
    uint32_t limit; // of draws; 0: no dropout
    float factor;   // 1 / (1 - dropout)
    draw_source source;
    bool whole; // heads and pointers allow packs
} task;

// Numbers that a thread holds of a row of WIDTH: NEAR neighbours, PARTS times.
template <int WIDTH> struct share {
    enum { ALL = WIDTH / ACROSS, NEAR = ALL < 4 ? ALL : 4, PARTS = ALL / NEAR, LINE = WIDTH + 4 };
    // Backward, the two tensors that a block goes over would not fit beside its own: they take turns in one tile.
    static constexpr bool TURNS = WIDTH > 128;
};

// --- tiles -----------------------------------------------------------------------------------------------
// to (TOKENS, LINE) = factor * FROM's first COUNT tokens of D numbers; zeros around.
template <int WIDTH, int TOKENS, class T>
static __device__ __forceinline__ void load_tile(shared_array<float> to, const T *from, int64_t count, float factor,
                                                 const task &z) {
    constexpr int V = PACK<T>, LINE = share<WIDTH>::LINE;
    if (z.whole) {
        for (int i = (int)threadIdx.x; i < TOKENS * (WIDTH / V); i += THREADS) {
            const int t = i / (WIDTH / V), d = i % (WIDTH / V) * V;
            const bool there = t < count && d < z.D;
            float x[V];
            if (there) load(x, from + t * z.row + d);
            UNROLL for (int v = 0; v < V; v++) x[v] = there ? factor * x[v] : 0;
            UNROLL for (int v = 0; v < V; v += 4) shared_store4(to + (t * LINE + d + v), x + v);
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < TOKENS * WIDTH; i += THREADS) {
        const int t = i / WIDTH, d = i % WIDTH;
        to[t * LINE + d] = t < count && d < z.D ? factor * widen(from[t * z.row + d]) : 0.0f;
    }
}

// The same, where TO may still be read, and for use at once.
template <int WIDTH, int TOKENS, class T>
static __device__ __forceinline__ void next_tile(shared_array<float> to, const T *from, int64_t count, float factor,
                                                 const task &z) {
    BLOCK_SYNC();
    load_tile<WIDTH, TOKENS>(to, from, count, factor, z);
    BLOCK_SYNC();
}

// The dropout's factors of QUERIES x KEYS probabilities from query Q0 and key K0 on, at to[query * across + key *
// down]: neighbouring keys share a draw's block.
template <int QUERIES, int KEYS>
static __device__ __forceinline__ void draw_tile(shared_array<float> to, int across, int down, int64_t b, int64_t h,
                                                 int64_t q0, int64_t k0, const task &z, const draw_source &source) {
    for (int i = (int)threadIdx.x; i < QUERIES * (KEYS / 4); i += THREADS) {
        const int q = i / (KEYS / 4), k = i % (KEYS / 4) * 4;
        uint32_t words[4];
        draw_words(words, source, (uint32_t)b, (uint64_t)((h * z.TQ + q0 + q) * z.TK + k0 + k));
        UNROLL for (int v = 0; v < 4; v++)
            to[q * across + (k + v) * down] = words[v] >> 8 >= z.limit ? z.factor : 0.0f;
    }
}

// sum[r][c] = a's row y + 8 r times b's row x + 16 c.
template <int WIDTH, int R, int C>
static __device__ __forceinline__ void products(float (&sum)[R][C], shared_array<float> a, shared_array<float> b,
                                                int D) {
    constexpr int LINE = share<WIDTH>::LINE;
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS;
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) sum[r][c] = 0;
    for (int d = 0; d < D; d += 4) {
        float p[R][4], q[4];
        UNROLL for (int r = 0; r < R; r++) shared_load4(p[r], a + ((y + DOWN * r) * LINE + d));
        UNROLL for (int c = 0; c < C; c++) {
            shared_load4(q, b + ((x + ACROSS * c) * LINE + d));
            UNROLL for (int r = 0; r < R; r++) UNROLL for (int e = 0; e < 4; e++) sum[r][c] += p[r][e] * q[e];
        }
    }
}

// sum[r] += this thread's numbers of (a's row y + 8 r, COLS wide) times b (COLS, WIDTH).
template <int WIDTH, int COLS, int R>
static __device__ __forceinline__ void add_products(float (&sum)[R][share<WIDTH>::ALL], shared_array<float> a,
                                                    shared_array<float> b) {
    constexpr int NEAR = share<WIDTH>::NEAR, PARTS = share<WIDTH>::PARTS, LINE = share<WIDTH>::LINE;
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS;
    UNROLL for (int j = 0; j < COLS; j += 4) {
        float p[R][4];
        UNROLL for (int r = 0; r < R; r++) shared_load4(p[r], a + ((y + DOWN * r) * (COLS + 4) + j));
        UNROLL for (int e = 0; e < 4; e++) UNROLL for (int k = 0; k < PARTS; k++) {
            float q[NEAR];
            shared_load_some(q, b + ((j + e) * LINE + NEAR * (x + ACROSS * k)));
            UNROLL for (int r = 0; r < R; r++) UNROLL for (int n = 0; n < NEAR; n++)
                sum[r][k * NEAR + n] += p[r][e] * q[n];
        }
    }
}

// A thread's numbers of token T's head, times FACTOR, to TO (the tile's first token).
template <int WIDTH, class T>
static __device__ __forceinline__ void give_row(T *to, int t, const float (&x)[share<WIDTH>::ALL], float factor,
                                                int acc, const task &z) {
    constexpr int NEAR = share<WIDTH>::NEAR, PARTS = share<WIDTH>::PARTS;
    const int first = (int)threadIdx.x % ACROSS * NEAR;
    UNROLL for (int k = 0; k < PARTS; k++) {
        const int d = first + ACROSS * NEAR * k;
        T *at = to + t * z.row + d;
        float out[NEAR];
        UNROLL for (int n = 0; n < NEAR; n++) out[n] = factor * x[k * NEAR + n];
        if (z.whole && d < z.D) {
            give(at, out, acc);
            continue;
        }
        UNROLL for (int n = 0; n < NEAR; n++) {
            float one[1] = {out[n]};
            if (d + n < z.D) give(at + n, one, acc);
        }
    }
}

// A block's tile of one head: FIRST token, COUNT tokens from there on.
typedef struct place {
    int64_t b, h, first, count;
} place;

static __device__ __forceinline__ place place_now(int64_t tokens, int size, int64_t H) {
    const int64_t tiles = (tokens + size - 1) / size, head = blockIdx.x / tiles, first = blockIdx.x % tiles * size;
    return {head / H, head % H, first, tokens - first};
}

static __device__ __forceinline__ int64_t start_of(const place &p, int64_t tokens, int64_t first, const task &z) {
    return (p.b * tokens + first) * z.row + p.h * z.D;
}

// --- forward -----------------------------------------------------------------------------------------------
// The softmax of what has been seen so far: its largest score and the sum of exp(score - that).
template <int R, int C>
static __device__ __forceinline__ void softmax_step(float (&s)[R][C], float (&largest)[R], float (&sum)[R],
                                                    float (&shrink)[R], int64_t keys) {
    const int x = (int)threadIdx.x % ACROSS;
    UNROLL for (int r = 0; r < R; r++) {
        float most = largest[r], part = 0;
        UNROLL for (int c = 0; c < C; c++)
            if (x + ACROSS * c < keys) most = fmaxf(most, s[r][c]);
        most = lanes_max(most, ACROSS);
        UNROLL for (int c = 0; c < C; c++) {
            s[r][c] = x + ACROSS * c < keys ? fast_exp(s[r][c] - most) : 0;
            part += s[r][c];
        }
        shrink[r] = fast_exp(largest[r] - most);
        sum[r] = sum[r] * shrink[r] + lanes_sum(part, ACROSS);
        largest[r] = most;
    }
}

template <class T, int WIDTH, int ROWS, int COLS>
__global__ void __launch_bounds__(THREADS)
    forward_kernel(T *out, float *lse, const T *q, const T *k, const T *v, task z) {
    constexpr int LINE = share<WIDTH>::LINE, R = ROWS / DOWN, C = COLS / ACROSS;
    SHARED(float, Q, ROWS *LINE);
    SHARED(float, K, COLS *LINE);
    SHARED(float, V, COLS *LINE);
    SHARED(float, P, ROWS *(COLS + 4));
    const place at = place_now(z.TQ, ROWS, z.H);
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS;
    const draw_source source = draw_now(z.source);
    float sum[R][share<WIDTH>::ALL], largest[R], total[R], shrink[R], s[R][C];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int n = 0; n < share<WIDTH>::ALL; n++) sum[r][n] = 0;
        largest[r] = -INFINITY;
        total[r] = 0;
    }
    load_tile<WIDTH, ROWS>(Q, q + start_of(at, z.TQ, at.first, z), at.count, z.scale, z);
    for (int64_t k0 = 0; k0 < z.TK; k0 += COLS) {
        const int64_t key = start_of(at, z.TK, k0, z);
        load_tile<WIDTH, COLS>(K, k + key, z.TK - k0, 1, z);
        load_tile<WIDTH, COLS>(V, v + key, z.TK - k0, 1, z);
        if (z.limit) draw_tile<ROWS, COLS>(P, COLS + 4, 1, at.b, at.h, at.first, k0, z, source);
        BLOCK_SYNC();
        products<WIDTH>(s, Q, K, z.D);
        softmax_step(s, largest, total, shrink, z.TK - k0);
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int c = 0; c < C; c++) {
            const int i = (y + DOWN * r) * (COLS + 4) + x + ACROSS * c;
            P[i] = z.limit ? s[r][c] * P[i] : s[r][c];
        }
        BLOCK_SYNC();
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int n = 0; n < share<WIDTH>::ALL; n++) sum[r][n] *= shrink[r];
        add_products<WIDTH, COLS>(sum, P, V);
        BLOCK_SYNC();
    }
    UNROLL for (int r = 0; r < R; r++) {
        const int t = y + DOWN * r;
        if (t >= at.count) continue;
        give_row<WIDTH>(out + start_of(at, z.TQ, at.first, z), t, sum[r], 1 / total[r], 0, z);
        if (x == 0) lse[(at.b * z.H + at.h) * z.TQ + at.first + t] = largest[r] + logf(total[r]);
    }
}

// --- backward ----------------------------------------------------------------------------------------------
// delta (B, H, TQ) = dout . out: a warp per row.
template <class T>
__global__ void __launch_bounds__(THREADS)
    delta_kernel(float *delta, const T *dout, const T *out, int64_t rows, task z) {
    const int64_t i = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    float sum = 0;
    if (i < rows) { // the same for all lanes
        const int64_t b = i / z.TQ / z.H, h = i / z.TQ % z.H, from = (b * z.TQ + i % z.TQ) * z.row + h * z.D;
        for (int d = (int)threadIdx.x % 32; d < z.D; d += 32) sum += widen(dout[from + d]) * widen(out[from + d]);
    }
    sum = lanes_sum(sum, 32);
    if (i < rows && threadIdx.x % 32 == 0) delta[i] = sum;
}

typedef struct row_numbers {
    const float *lse, *delta; // (B, H, TQ)
} row_numbers;

// One score's probability and its gradient over scale: dS = P (m dA - delta), m the dropout's factor.
static __device__ __forceinline__ float score_gradient(float &p, float dp, float score, float lse, float delta,
                                                       float m, bool there) {
    const float probability = there ? fast_exp(score - lse) : 0;
    p = probability * m;
    return there ? probability * (dp * m - delta) : 0;
}

// A tile of queries goes over all keys.
template <class T, int WIDTH, int ROWS, int COLS>
__global__ void __launch_bounds__(THREADS)
    query_kernel(T *dq, const T *dout, const T *q, const T *k, const T *v, row_numbers n, int acc, task z) {
    constexpr int LINE = share<WIDTH>::LINE, R = ROWS / DOWN, C = COLS / ACROSS;
    constexpr bool TURNS = share<WIDTH>::TURNS;
    SHARED(float, Q, ROWS *LINE);
    SHARED(float, dO, ROWS *LINE);
    SHARED(float, K, COLS *LINE);
    SHARED(float, apart, TURNS ? 4 : COLS *LINE);
    SHARED(float, dS, ROWS *(COLS + 4));
    const shared_array<float> V = TURNS ? K : apart;
    const place at = place_now(z.TQ, ROWS, z.H);
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS;
    const int64_t own = start_of(at, z.TQ, at.first, z), numbers = (at.b * z.H + at.h) * z.TQ + at.first;
    const draw_source source = draw_now(z.source);
    float sum[R][share<WIDTH>::ALL] = {}, s[R][C], dp[R][C];
    load_tile<WIDTH, ROWS>(Q, q + own, at.count, z.scale, z);
    load_tile<WIDTH, ROWS>(dO, dout + own, at.count, 1, z);
    for (int64_t k0 = 0; k0 < z.TK; k0 += COLS) {
        const int64_t key = start_of(at, z.TK, k0, z);
        if (!TURNS) load_tile<WIDTH, COLS>(K, k + key, z.TK - k0, 1, z);
        load_tile<WIDTH, COLS>(V, v + key, z.TK - k0, 1, z);
        if (z.limit) draw_tile<ROWS, COLS>(dS, COLS + 4, 1, at.b, at.h, at.first, k0, z, source);
        BLOCK_SYNC();
        products<WIDTH>(dp, dO, V, z.D);
        if (TURNS) next_tile<WIDTH, COLS>(K, k + key, z.TK - k0, 1, z);
        products<WIDTH>(s, Q, K, z.D);
        UNROLL for (int r = 0; r < R; r++) {
            const int t = y + DOWN * r;
            const float lse = t < at.count ? n.lse[numbers + t] : 0, delta = t < at.count ? n.delta[numbers + t] : 0;
            UNROLL for (int c = 0; c < C; c++) {
                const int i = t * (COLS + 4) + x + ACROSS * c;
                const bool there = t < at.count && k0 + x + ACROSS * c < z.TK;
                float m = 1, p;
                if (z.limit) m = dS[i];
                dS[i] = score_gradient(p, dp[r][c], s[r][c], lse, delta, m, there);
            }
        }
        BLOCK_SYNC();
        add_products<WIDTH, COLS>(sum, dS, K);
        BLOCK_SYNC();
    }
    UNROLL for (int r = 0; r < R; r++)
        if (y + DOWN * r < at.count) give_row<WIDTH>(dq + own, y + DOWN * r, sum[r], z.scale, acc, z);
}

// A tile of keys goes over all queries; rows of the scores are keys here.
template <class T, int WIDTH, int ROWS, int COLS>
__global__ void __launch_bounds__(THREADS)
    key_kernel(T *dk, T *dv, const T *dout, const T *q, const T *k, const T *v, row_numbers n, int acc_k, int acc_v,
               task z) {
    constexpr int LINE = share<WIDTH>::LINE, R = ROWS / DOWN, C = COLS / ACROSS;
    constexpr bool TURNS = share<WIDTH>::TURNS;
    SHARED(float, K, ROWS *LINE);
    SHARED(float, V, ROWS *LINE);
    SHARED(float, Q, COLS *LINE);
    SHARED(float, apart, TURNS ? 4 : COLS *LINE);
    SHARED(float, P, ROWS *(COLS + 4));
    SHARED(float, dS, ROWS *(COLS + 4));
    const shared_array<float> dO = TURNS ? Q : apart;
    const place at = place_now(z.TK, ROWS, z.H);
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS;
    const int64_t own = start_of(at, z.TK, at.first, z);
    const draw_source source = draw_now(z.source);
    float keys[R][share<WIDTH>::ALL] = {}, values[R][share<WIDTH>::ALL] = {}, s[R][C], dp[R][C];
    load_tile<WIDTH, ROWS>(K, k + own, at.count, 1, z);
    load_tile<WIDTH, ROWS>(V, v + own, at.count, 1, z);
    for (int64_t q0 = 0; q0 < z.TQ; q0 += COLS) {
        const int64_t query = start_of(at, z.TQ, q0, z), numbers = (at.b * z.H + at.h) * z.TQ + q0;
        if (!TURNS) load_tile<WIDTH, COLS>(Q, q + query, z.TQ - q0, z.scale, z);
        load_tile<WIDTH, COLS>(dO, dout + query, z.TQ - q0, 1, z);
        if (z.limit) draw_tile<COLS, ROWS>(P, 1, COLS + 4, at.b, at.h, q0, at.first, z, source);
        BLOCK_SYNC();
        products<WIDTH>(dp, V, dO, z.D);
        if (TURNS) next_tile<WIDTH, COLS>(Q, q + query, z.TQ - q0, z.scale, z);
        products<WIDTH>(s, K, Q, z.D);
        UNROLL for (int c = 0; c < C; c++) {
            const int t = x + ACROSS * c;
            const bool there = q0 + t < z.TQ;
            const float lse = there ? n.lse[numbers + t] : 0, delta = there ? n.delta[numbers + t] : 0;
            UNROLL for (int r = 0; r < R; r++) {
                const int i = (y + DOWN * r) * (COLS + 4) + t;
                float m = 1, p;
                if (z.limit) m = P[i];
                dS[i] = score_gradient(p, dp[r][c], s[r][c], lse, delta, m, there && y + DOWN * r < at.count);
                P[i] = p;
            }
        }
        BLOCK_SYNC();
        add_products<WIDTH, COLS>(keys, dS, Q); // q holds the scale
        if (TURNS) next_tile<WIDTH, COLS>(dO, dout + query, z.TQ - q0, 1, z);
        add_products<WIDTH, COLS>(values, P, dO);
        BLOCK_SYNC();
    }
    // One after the other, so that one tensor may be key and value at once.
    UNROLL for (int r = 0; r < R; r++) {
        if (y + DOWN * r >= at.count) continue;
        if (dk) give_row<WIDTH>(dk + own, y + DOWN * r, keys[r], 1, acc_k, z);
        if (dv) give_row<WIDTH>(dv + own, y + DOWN * r, values[r], 1, acc_v, z);
    }
}

// --- launches ----------------------------------------------------------------------------------------------
template <class T, class... P>
static task task_of(const attention_shape *z, const stream *s, P... pointers) {
    if (z->D > WIDEST) die("attention: heads of width %lld, expected at most %d", (long long)z->D, (int)WIDEST);
    const bool drops = z->dropout > 0;
    return {z->TQ,
            z->TK,
            z->H,
            z->H * z->D,
            (int)z->D,
            (float)z->scale,
            drops ? drop_limit(z->dropout) : 0,
            (float)(1 / (1 - z->dropout)),
            draw_from(z->key, z->first_sample, s),
            z->D % PACK<T> == 0 && aligned(pointers...)};
}

static dim3 tiles_of(const attention_shape *z, int64_t tokens, int size) {
    const int64_t tiles = z->B * z->H * divide_up(tokens, size);
    if (tiles > INT32_MAX) die("attention: %lld tiles", (long long)tiles);
    return dim3((unsigned)tiles);
}

template <class T, int WIDTH, int ROWS, int COLS>
static void forward_wide(T *out, float *lse, const T *q, const T *k, const T *v, const attention_shape *z,
                         stream *s) {
    LAUNCH(s, "attention_forward", (forward_kernel<T, WIDTH, ROWS, COLS>), tiles_of(z, z->TQ, ROWS), dim3(THREADS),
           out, lse, q, k, v, task_of<T>(z, s, out, q, k, v));
}

template <class T>
static void forward_all(void *out, float *lse, const void *q, const void *k, const void *v,
                        const attention_shape *z, stream *s) {
    if (z->D <= 32)
        forward_wide<T, 32, 64, 32>((T *)out, lse, (const T *)q, (const T *)k, (const T *)v, z, s);
    else if (z->D <= 64)
        forward_wide<T, 64, 64, 32>((T *)out, lse, (const T *)q, (const T *)k, (const T *)v, z, s);
    else if (z->D <= 128)
        forward_wide<T, 128, 32, 16>((T *)out, lse, (const T *)q, (const T *)k, (const T *)v, z, s);
    else
        forward_wide<T, 256, 8, 16>((T *)out, lse, (const T *)q, (const T *)k, (const T *)v, z, s);
}

typedef struct back_task {
    void *dq, *dk, *dv;
    const void *dout, *out, *q, *k, *v;
    const float *lse;
    float *delta;
    int acc_q, acc_k, acc_v;
} back_task;

template <class T, int WIDTH, int ROWS, int COLS>
static void back_wide(const back_task &b, const attention_shape *z, stream *s) {
    const task t = task_of<T>(z, s, b.dq, b.dk, b.dv, b.dout, b.q, b.k, b.v);
    const row_numbers n = {b.lse, b.delta};
    const T *dout = (const T *)b.dout, *q = (const T *)b.q, *k = (const T *)b.k, *v = (const T *)b.v;
    if (b.dq) // first: where one tensor is query, key and value at once, the others add
        LAUNCH(s, "attention_backward", (query_kernel<T, WIDTH, ROWS, COLS>), tiles_of(z, z->TQ, ROWS),
               dim3(THREADS), (T *)b.dq, dout, q, k, v, n, b.acc_q, t);
    if (b.dk || b.dv)
        LAUNCH(s, "attention_backward", (key_kernel<T, WIDTH, ROWS, COLS>), tiles_of(z, z->TK, ROWS), dim3(THREADS),
               (T *)b.dk, (T *)b.dv, dout, q, k, v, n, b.acc_k, b.acc_v, t);
}

template <class T> static void back_all(const back_task &b, const attention_shape *z, stream *s) {
    const int64_t rows = z->B * z->H * z->TQ;
    LAUNCH(s, "attention_backward", (delta_kernel<T>), dim3((unsigned)divide_up(rows, THREADS / 32)), dim3(THREADS),
           b.delta, (const T *)b.dout, (const T *)b.out, rows, task_of<T>(z, s, b.dout, b.out));
    if (z->D <= 32)
        back_wide<T, 32, 64, 32>(b, z, s);
    else if (z->D <= 64)
        back_wide<T, 64, 32, 32>(b, z, s);
    else if (z->D <= 128)
        back_wide<T, 128, 16, 16>(b, z, s);
    else
        back_wide<T, 256, 8, 16>(b, z, s);
}

// --- cuDNN's ---------------------------------------------------------------------------------------------------
static cudnn_attention library_of(const attention_shape *z, dtype type) {
    cudnn_attention c = {};
    c.B = z->B, c.H = z->H, c.TQ = z->TQ, c.TK = z->TK, c.D = z->D;
    c.q_row = c.k_row = c.v_row = c.out_row = z->H * z->D;
    c.type = type;
    return c;
}

static bool attention_by_library(const attention_shape *z, dtype type, stream *s) {
    const cudnn_attention c = library_of(z, type);
    if (z->dropout > 0 || type == DTYPE_F32 || z->D % 8 || z->D > WIDEST || !z->B || !z->TQ) return false;
    return cudnn_attention_takes(&c, s);
}

// The library writes all three gradients. One that is to be added, or that nobody wants, goes to scratch first.
typedef struct fresh {
    size_t q, k; // bytes of dq; of dk and of dv
} fresh;

static fresh fresh_of(const attention_shape *z, dtype type) {
    const size_t row = (size_t)(z->B * z->H * z->D) * dtype_size(type);
    return {((size_t)z->TQ * row + 255) / 256 * 256, ((size_t)z->TK * row + 255) / 256 * 256};
}

static void library_back(const back_task &b, const attention_shape *z, dtype type, char *scratch, stream *s) {
    const cudnn_attention c = library_of(z, type);
    const fresh f = fresh_of(z, type);
    const int64_t queries = z->B * z->TQ * z->H * z->D, keys = z->B * z->TK * z->H * z->D;
    char *dq = scratch, *dk = dq + f.q, *dv = dk + f.k, *rest = dv + f.k;
    const cudnn_attention_gradient to = {b.dq && !b.acc_q ? b.dq : dq, b.dk && !b.acc_k ? b.dk : dk,
                                         b.dv && !b.acc_v ? b.dv : dv};
    cudnn_attention_backward(&to, b.dout, b.out, b.lse, b.q, b.k, b.v, (float)z->scale, NULL, &c, rest, s);
    if (b.dq && b.acc_q) add_backward_cuda(b.dq, dq, queries, 1, type, s);
    if (b.dk && b.acc_k) add_backward_cuda(b.dk, dk, keys, 1, type, s);
    if (b.dv && b.acc_v) add_backward_cuda(b.dv, dv, keys, 1, type, s);
}

// --- which way -------------------------------------------------------------------------------------------------
size_t attention_scratch_cuda(const attention_shape *z, dtype type, stream *s) {
    if (!attention_by_library(z, type, s)) return (size_t)(z->B * z->H * z->TQ) * sizeof(float);
    const cudnn_attention c = library_of(z, type);
    const fresh f = fresh_of(z, type);
    return f.q + 2 * f.k + cudnn_attention_scratch(&c, s);
}

void attention_forward_cuda(void *out, void *lse, const void *q, const void *k, const void *v,
                            const attention_shape *z, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    if (attention_by_library(z, type, s)) {
        const cudnn_attention c = library_of(z, type);
        cudnn_attention_forward(out, (float *)lse, q, k, v, (float)z->scale, NULL, &c, scratch, s);
    } else
        FOR_TYPE("attention", type, forward_all, out, (float *)lse, q, k, v, z, s);
}

void attention_backward_cuda(void *dq, void *dk, void *dv, const void *dout, const void *out, const void *lse,
                             const void *q, const void *k, const void *v, const attention_shape *z, int acc_q,
                             int acc_k, int acc_v, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const back_task b = {dq, dk, dv, dout, out, q, k, v, (const float *)lse, (float *)scratch, acc_q, acc_k, acc_v};
    if (attention_by_library(z, type, s))
        library_back(b, z, type, (char *)scratch, s);
    else
        FOR_TYPE("attention", type, back_all, b, z, s);
}
