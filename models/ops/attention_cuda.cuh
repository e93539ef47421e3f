// What attention's kernels share: which rows a block has, and tiles of them in shared memory. For
// models/ops/attention*_cuda.cu.
//
// A block has 128 threads, x < 16 across and y < 8 down. In a tile of ROWS x COLS scores a thread holds rows
// y + 8 r and columns x + 16 c; of a row of WIDTH numbers (a head, padded) it holds a few neighbours.
#pragma once
#include "models/ops/ops_cuda.cuh"

enum { THREADS = 128, ACROSS = 16, DOWN = 8, WIDEST = 256 };

static __device__ __forceinline__ int smaller(int a, int b) {
    return a < b ? a : b;
}

// --- rows ------------------------------------------------------------------------------------------------
// A tensor in the pieces of a sequence, in the sequence's order. Dense: the middle one alone.
template <class T> struct pieces {
    T *at[3];
};

template <class T> static pieces<T> query_pieces(void *const x[2]) {
    return {{NULL, (T *)x[0], (T *)x[1]}};
}
template <class T> static pieces<const T> query_pieces(const void *const x[2]) {
    return {{NULL, (const T *)x[0], (const T *)x[1]}};
}
template <class T> static pieces<T> key_pieces(void *const x[3]) {
    return {{(T *)x[2], (T *)x[0], (T *)x[1]}};
}
template <class T> static pieces<const T> key_pieces(const void *const x[3]) {
    return {{(const T *)x[2], (const T *)x[0], (const T *)x[1]}};
}

// What the kernels know of a call.
typedef struct task {
    const attention_segment *segments; // NULL: dense
    int64_t TQ, TK, H, row;            // row: from a row to the next, H * D
    int64_t q_rows[2];
    int D;
    float scale;
    uint32_t limit; // of draws; 0: no dropout
    float factor;   // 1 / (1 - dropout)
    draw_source source;
    bool whole; // heads and pointers allow packs
} task;

// Token t of a sequence is row shift[i] + t of piece i: the first before start[0], the second before start[1].
typedef struct span {
    int64_t shift[3];
    int start[2];
} span;

// A sequence's head. Query i sees keys j <= i + reach.
typedef struct sequence {
    span q, k;
    span numbers; // of the queries' lse and delta: dense (B, H, TQ), else (H, rows)
    int queries, keys, reach;
    uint32_t sample;
} sequence;

static __device__ __forceinline__ sequence sequence_of(const task &z, int64_t b, int64_t h) {
    sequence s;
    if (!z.segments) {
        s.queries = (int)z.TQ, s.keys = s.reach = (int)z.TK;
        s.q = {{0, b * z.TQ, 0}, {0, s.queries}};
        s.k = {{0, b * z.TK, 0}, {0, s.keys}};
        s.numbers = {{0, (b * z.H + h) * z.TQ, 0}, {0, s.queries}};
        s.sample = (uint32_t)b;
        return s;
    }
    const attention_segment g = z.segments[b];
    s.queries = g.q_count[0] + g.q_count[1];
    s.keys = g.k_count[0] + g.k_count[1] + g.k_count[2];
    s.reach = g.causal ? s.keys - s.queries : s.keys;
    s.q = {{0, g.q_first[0], g.q_first[1] - g.q_count[0]}, {0, g.q_count[0]}};
    s.k.start[0] = g.k_count[2], s.k.start[1] = g.k_count[2] + g.k_count[0];
    s.k.shift[0] = g.k_first[2];
    s.k.shift[1] = g.k_first[0] - s.k.start[0];
    s.k.shift[2] = g.k_first[1] - s.k.start[1];
    s.numbers = s.q;
    s.numbers.shift[1] += h * z.q_rows[0], s.numbers.shift[2] += h * z.q_rows[1];
    s.sample = (uint32_t)g.sample;
    return s;
}

// What AT says of the piece that token T is in.
template <class N> static __device__ __forceinline__ N of_piece(const N (&at)[3], const span &s, int t) {
    return t < s.start[0] ? at[0] : t < s.start[1] ? at[1] : at[2];
}

template <class T>
static __device__ __forceinline__ T *token(const pieces<T> &x, const span &s, int t, int64_t row) {
    return of_piece(x.at, s, t) + (of_piece(s.shift, s, t) + t) * row;
}

// Which of a sequence's pieces are added to.
typedef struct piece_flags {
    int at[3];
} piece_flags;

static inline piece_flags key_flags(const int acc[3]) {
    return {{acc[2], acc[0], acc[1]}};
}

// What draws are keyed by now: a segment names its sample itself.
static __device__ __forceinline__ draw_source draws_of(const task &z) {
    draw_source source = draw_now(z.source);
    if (z.segments) source.first_sample = 0;
    return source;
}

// A block's tile: FIRST token of a sequence's head.
typedef struct place {
    int64_t b, h;
    int first;
} place;

static __device__ __forceinline__ place place_now(int64_t tokens, int size, int64_t H) {
    const int64_t tiles = (tokens + size - 1) / size, head = blockIdx.x / tiles;
    return {head / H, head % H, (int)(blockIdx.x % tiles) * size};
}

// Blocks for tiles of SIZE of all heads' tokens, TOKENS at most.
static inline dim3 tiles_of(const attention_shape *z, int64_t tokens, int size) {
    const int64_t tiles = z->B * z->H * divide_up(tokens, size);
    if (tiles > INT32_MAX) die("attention: %lld tiles", (long long)tiles);
    return dim3((unsigned)tiles);
}

template <class T, class... P> static task task_of(const attention_shape *z, const stream *s, P... pointers) {
    if (z->D > WIDEST) die("attention: heads of width %lld, expected at most %d", (long long)z->D, (int)WIDEST);
    task t = {};
    t.segments = z->segments;
    t.TQ = z->TQ, t.TK = z->TK, t.H = z->H, t.row = z->H * z->D, t.D = (int)z->D;
    t.q_rows[0] = z->q_rows[0], t.q_rows[1] = z->q_rows[1];
    t.scale = (float)z->scale;
    t.limit = z->dropout > 0 ? draw_limit(z->dropout) : 0;
    t.factor = (float)(1 / (1 - z->dropout));
    t.source = draw_from(z->key, z->first_sample, s);
    t.whole = z->D % PACK<T> == 0 && aligned(pointers...);
    return t;
}

// --- tiles -----------------------------------------------------------------------------------------------
// Numbers that a thread holds of a row of WIDTH: NEAR neighbours, PARTS times.
template <int WIDTH> struct share {
    enum { ALL = WIDTH / ACROSS, NEAR = ALL < 4 ? ALL : 4, PARTS = ALL / NEAR, LINE = WIDTH + 4 };
    // Backward, the two tensors that a block goes over would not fit beside its own: they take turns in one tile.
    static constexpr bool TURNS = WIDTH > 128;
};

// A tensor's rows of one head.
template <class T> struct head_rows {
    pieces<T> x;
    span s;
    int64_t head; // its first number in a row
};

// to (TOKENS, LINE) = factor * COUNT tokens of D numbers from FIRST on; zeros around.
template <int WIDTH, int TOKENS, class T>
static __device__ __forceinline__ void load_tile(shared_array<float> to, const head_rows<const T> &from, int first,
                                                 int count, float factor, const task &z) {
    constexpr int V = PACK<T>, LINE = share<WIDTH>::LINE;
    if (z.whole) {
        for (int i = (int)threadIdx.x; i < TOKENS * (WIDTH / V); i += THREADS) {
            const int t = i / (WIDTH / V), d = i % (WIDTH / V) * V;
            const bool there = t < count && d < z.D;
            float x[V];
            if (there) load(x, token(from.x, from.s, first + t, z.row) + from.head + d);
            UNROLL for (int v = 0; v < V; v++) x[v] = there ? factor * x[v] : 0;
            UNROLL for (int v = 0; v < V; v += 4) shared_store4(to + (t * LINE + d + v), x + v);
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < TOKENS * WIDTH; i += THREADS) {
        const int t = i / WIDTH, d = i % WIDTH;
        const bool there = t < count && d < z.D;
        to[t * LINE + d] = there ? factor * widen(token(from.x, from.s, first + t, z.row)[from.head + d]) : 0.0f;
    }
}

// The same, where TO may still be read, and for use at once.
template <int WIDTH, int TOKENS, class T>
static __device__ __forceinline__ void next_tile(shared_array<float> to, const head_rows<const T> &from, int first,
                                                 int count, float factor, const task &z) {
    BLOCK_SYNC();
    load_tile<WIDTH, TOKENS>(to, from, first, count, factor, z);
    BLOCK_SYNC();
}

// The dropout's factors of QUERIES x KEYS probabilities from query Q0 and key K0 on, at to[query * across + key *
// down]: four neighbouring keys are one draw's block.
template <int QUERIES, int KEYS>
static __device__ __forceinline__ void draw_tile(shared_array<float> to, int across, int down, uint32_t sample,
                                                 int64_t h, int q0, int k0, const task &z, const draw_source &source) {
    for (int i = (int)threadIdx.x; i < QUERIES * (KEYS / 4); i += THREADS) {
        const int q = i / (KEYS / 4), k = i % (KEYS / 4) * 4;
        uint32_t words[4];
        // attention_element / 4
        draw_block(words, source, sample, ((((uint64_t)h << 16) + q0 + q) << 14) + (k0 + k) / 4);
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

// A thread's numbers of token T's head, times FACTOR, to where they belong.
template <int WIDTH, class T>
static __device__ __forceinline__ void give_row(const head_rows<T> &to, int t, const float (&x)[share<WIDTH>::ALL],
                                                float factor, int acc, const task &z) {
    constexpr int NEAR = share<WIDTH>::NEAR, PARTS = share<WIDTH>::PARTS;
    const int first = (int)threadIdx.x % ACROSS * NEAR;
    T *const row = token(to.x, to.s, t, z.row) + to.head;
    UNROLL for (int k = 0; k < PARTS; k++) {
        const int d = first + ACROSS * NEAR * k;
        float out[NEAR];
        UNROLL for (int n = 0; n < NEAR; n++) out[n] = factor * x[k * NEAR + n];
        if (z.whole && d < z.D) {
            give(row + d, out, acc);
            continue;
        }
        UNROLL for (int n = 0; n < NEAR; n++) {
            float one[1] = {out[n]};
            if (d + n < z.D) give(row + d + n, one, acc);
        }
    }
}

// --- rows that no segment names ------------------------------------------------------------------------------
// A tensor whose rows are to be zeros where nobody names them. Its runs begin at number FIRST of a segment, and are
// as long as number COUNT says.
template <class T> struct unnamed {
    T *to;
    int64_t rows;
    int first, count;
};
template <class T> struct unnamed_list {
    unnamed<T> entry[8];
    int used;
    int64_t most; // rows
};

// Unless it is NULL or added to.
template <class T>
static void list_queries(unnamed_list<T> *list, void *const to[2], const int *acc, const attention_shape *z) {
    for (int p = 0; p < 2; p++) {
        if (!to[p] || (acc && acc[p])) continue;
        list->entry[list->used++] = {(T *)to[p], z->q_rows[p], p, 2 + p};
        if (z->q_rows[p] > list->most) list->most = z->q_rows[p];
    }
}
template <class T>
static void list_keys(unnamed_list<T> *list, void *const to[3], const int *acc, const attention_shape *z) {
    for (int p = 0; p < 3; p++) {
        if (!to[p] || acc[p]) continue;
        list->entry[list->used++] = {(T *)to[p], z->k_rows[p], 4 + p, 7 + p};
        if (z->k_rows[p] > list->most) list->most = z->k_rows[p];
    }
}

static __device__ __forceinline__ bool is_live(const attention_segment &g) {
    return g.q_count[0] + g.q_count[1] > 0 && g.k_count[0] + g.k_count[1] + g.k_count[2] > 0;
}

// A thread per row looks for it in the table, then all clear what is in none.
template <class T>
__global__ void __launch_bounds__(THREADS)
    unnamed_kernel(unnamed_list<T> list, const attention_segment *segments, int64_t count, int64_t row) {
    SHARED(int, named, THREADS);
    unnamed<T> u = list.entry[0];
    UNROLL for (int i = 1; i < 8; i++)
        if ((int)blockIdx.y == i) u = list.entry[i];
    const int64_t first = (int64_t)blockIdx.x * THREADS, mine = first + threadIdx.x;
    if (first >= u.rows) return;
    int found = 0;
    for (int64_t s = 0; s < count; s++) {
        const int32_t *numbers = (const int32_t *)(segments + s);
        const int64_t from = numbers[u.first];
        found |= mine >= from && mine < from + numbers[u.count] && is_live(segments[s]);
    }
    named[threadIdx.x] = found;
    BLOCK_SYNC();
    for (int i = 0; i < THREADS && first + i < u.rows; i++) {
        if (named[i]) continue;
        for (int64_t d = threadIdx.x; d < row; d += THREADS) narrow_to(u.to + (first + i) * row + d, 0);
    }
}

template <class T> static void clear_unnamed(const unnamed_list<T> &list, const attention_shape *z, stream *s) {
    if (!z->segments) return;
    LAUNCH(s, "attention_unnamed", (unnamed_kernel<T>),
           dim3((unsigned)divide_up(list.most, THREADS), (unsigned)list.used), dim3(THREADS), list, z->segments, z->B,
           z->H * z->D);
}

// --- attention_packed_cuda.cu: segments by cuDNN ---------------------------------------------------------
bool attention_packed_takes(const attention_shape *z, dtype type, stream *s);
size_t attention_packed_scratch(const attention_shape *z, dtype type, stream *s);
void attention_packed_forward(const attention_tensors *x, const attention_shape *z, dtype type, void *scratch,
                              stream *s);
void attention_packed_backward(const attention_gradients *g, const attention_tensors *x, const attention_shape *z,
                               dtype type, void *scratch, stream *s);

// --- attention_backward_cuda.cu ----------------------------------------------------------------------------
void attention_tiles_backward(const attention_gradients *g, const attention_tensors *x, const attention_shape *z,
                              dtype type, void *scratch, stream *s);
size_t attention_tiles_scratch(const attention_shape *z);
