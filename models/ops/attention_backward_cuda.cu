// The backward pass of attention_cuda.cu's own kernels. It runs twice over the scores, once for the queries'
// gradients and once for the keys' and values', so that nobody adds to another's sums: a tile of keys goes over the
// queries of all segments that share it, in the table's order.
#include "models/ops/attention_cuda.cuh"

// delta = dout . out of each query row, where its lse is: a warp per row and head. Rows come in stretches of
// STRETCH, whose numbers are (H, STRETCH).
template <class T>
__global__ void __launch_bounds__(THREADS)
    delta_kernel(float *delta, const T *dout, const T *out, int64_t numbers, int64_t stretch, task z) {
    const int64_t i = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    float sum = 0;
    if (i < numbers) { // the same for all lanes
        const int64_t h = i / stretch % z.H, row = i / stretch / z.H * stretch + i % stretch;
        const int64_t from = row * z.row + h * z.D;
        for (int d = (int)threadIdx.x % 32; d < z.D; d += 32) sum += widen(dout[from + d]) * widen(out[from + d]);
    }
    sum = lanes_sum(sum, 32);
    if (i < numbers && threadIdx.x % 32 == 0) delta[i] = sum;
}

// --- segments that share their keys ------------------------------------------------------------------------
// For each segment: whether it is the first with its keys, and the next with them, -1 if none.
typedef struct links {
    int32_t *first, *next; // (B); NULL: dense
} links;

static __device__ __forceinline__ bool same_keys(const attention_segment &a, const attention_segment &b) {
    bool same = true;
    UNROLL for (int p = 0; p < 3; p++)
        same = same && a.k_count[p] == b.k_count[p] && (!a.k_count[p] || a.k_first[p] == b.k_first[p]);
    return same;
}

static __global__ void __launch_bounds__(THREADS)
    links_kernel(links to, const attention_segment *segments, int64_t count) {
    const int64_t s = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (s >= count) return;
    const attention_segment own = segments[s];
    int32_t first = is_live(own), next = -1;
    for (int64_t t = 0; t < count; t++) {
        if (t == s || !same_keys(own, segments[t]) || !is_live(segments[t])) continue;
        if (t < s) first = 0;
        if (t > s && next < 0) next = (int32_t)t;
    }
    to.first[s] = first;
    to.next[s] = next;
}

// --- the two passes ----------------------------------------------------------------------------------------
typedef struct row_numbers {
    pieces<const float> lse, delta;
} row_numbers;

// One score's probability and its gradient over scale: dS = P (m dA - delta), m the dropout's factor.
static __device__ __forceinline__ float score_gradient(float &p, float dp, float score, float lse, float delta,
                                                       float m, bool there) {
    const float probability = there ? fast_exp(score - lse) : 0;
    p = probability * m;
    return there ? probability * (dp * m - delta) : 0;
}

// The numbers of COUNT queries from FIRST on, at most TOKENS.
template <int TOKENS>
static __device__ __forceinline__ void load_numbers(shared_array<float> lse, shared_array<float> delta,
                                                    const row_numbers &n, const sequence &own, int first, int count) {
    const int t = (int)threadIdx.x;
    if (t >= TOKENS) return;
    lse[t] = t < count ? *token(n.lse, own.numbers, first + t, 1) : 0;
    delta[t] = t < count ? *token(n.delta, own.numbers, first + t, 1) : 0;
}

// A tile of queries goes over all keys.
template <class T, int WIDTH, int ROWS, int COLS>
__global__ void __launch_bounds__(THREADS)
    query_kernel(pieces<T> dq, pieces<const T> dout, pieces<const T> q, pieces<const T> k, pieces<const T> v,
                 row_numbers n, int acc_0, int acc_1, task z) {
    constexpr int LINE = share<WIDTH>::LINE, R = ROWS / DOWN, C = COLS / ACROSS;
    constexpr bool TURNS = share<WIDTH>::TURNS;
    SHARED(float, Q, ROWS *LINE);
    SHARED(float, dO, ROWS *LINE);
    SHARED(float, K, COLS *LINE);
    SHARED(float, apart, TURNS ? 4 : COLS *LINE);
    SHARED(float, dS, ROWS *(COLS + 4));
    SHARED(float, lse, ROWS);
    SHARED(float, delta, ROWS);
    const shared_array<float> V = TURNS ? K : apart;
    const place at = place_now(z.TQ, ROWS, z.H);
    const sequence own = sequence_of(z, at.b, at.h);
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS, count = own.queries - at.first;
    if (count <= 0 || !own.keys) return;
    const int64_t head = at.h * z.D;
    const head_rows<const T> keys = {k, own.k, head}, values = {v, own.k, head};
    const draw_source source = draws_of(z);
    float sum[R][share<WIDTH>::ALL] = {}, s[R][C], dp[R][C];
    load_tile<WIDTH, ROWS>(Q, head_rows<const T>{q, own.q, head}, at.first, count, z.scale, z);
    load_tile<WIDTH, ROWS>(dO, head_rows<const T>{dout, own.q, head}, at.first, count, 1, z);
    load_numbers<ROWS>(lse, delta, n, own, at.first, count);
    const int end = smaller(own.keys, at.first + ROWS + own.reach); // of the keys that the last query sees
    for (int k0 = 0; k0 < end; k0 += COLS) {
        if (!TURNS) load_tile<WIDTH, COLS>(K, keys, k0, own.keys - k0, 1, z);
        load_tile<WIDTH, COLS>(V, values, k0, own.keys - k0, 1, z);
        if (z.limit) draw_tile<ROWS, COLS>(dS, COLS + 4, 1, own.sample, at.h, at.first, k0, z, source);
        BLOCK_SYNC();
        products<WIDTH>(dp, dO, V, z.D);
        if (TURNS) next_tile<WIDTH, COLS>(K, keys, k0, own.keys - k0, 1, z);
        products<WIDTH>(s, Q, K, z.D);
        UNROLL for (int r = 0; r < R; r++) {
            const int t = y + DOWN * r, seen = smaller(own.keys, at.first + t + own.reach + 1) - k0;
            UNROLL for (int c = 0; c < C; c++) {
                const int i = t * (COLS + 4) + x + ACROSS * c;
                float m = 1, p;
                if (z.limit) m = dS[i];
                dS[i] = score_gradient(p, dp[r][c], s[r][c], lse[t], delta[t], m,
                                       t < count && x + ACROSS * c < seen);
            }
        }
        BLOCK_SYNC();
        add_products<WIDTH, COLS>(sum, dS, K);
        BLOCK_SYNC();
    }
    UNROLL for (int r = 0; r < R; r++) {
        const int t = at.first + y + DOWN * r;
        const bool second = t >= own.q.start[1];
        if (t < own.queries && (second ? dq.at[2] : dq.at[1]))
            give_row<WIDTH>(head_rows<T>{dq, own.q, head}, t, sum[r], z.scale, second ? acc_1 : acc_0, z);
    }
}

// A thread's numbers of key T, if somebody wants that piece's gradient.
template <int WIDTH, class T>
static __device__ __forceinline__ void give_key(const pieces<T> &to, const span &s, int64_t head, int t,
                                                const float (&x)[share<WIDTH>::ALL], const piece_flags &acc,
                                                const task &z) {
    if (of_piece(to.at, s, t)) give_row<WIDTH>(head_rows<T>{to, s, head}, t, x, 1, of_piece(acc.at, s, t), z);
}

// A tile of keys goes over all queries that may see it; rows of the scores are keys here.
template <class T, int WIDTH, int ROWS, int COLS>
__global__ void __launch_bounds__(THREADS)
    key_kernel(pieces<T> dk, pieces<T> dv, pieces<const T> dout, pieces<const T> q, pieces<const T> k,
               pieces<const T> v, row_numbers n, piece_flags acc_k, piece_flags acc_v, links l, task z) {
    constexpr int LINE = share<WIDTH>::LINE, R = ROWS / DOWN, C = COLS / ACROSS;
    constexpr bool TURNS = share<WIDTH>::TURNS;
    SHARED(float, K, ROWS *LINE);
    SHARED(float, V, ROWS *LINE);
    SHARED(float, Q, COLS *LINE);
    SHARED(float, apart, TURNS ? 4 : COLS *LINE);
    SHARED(float, P, ROWS *(COLS + 4));
    SHARED(float, dS, ROWS *(COLS + 4));
    SHARED(float, lse, COLS);
    SHARED(float, delta, COLS);
    const shared_array<float> dO = TURNS ? Q : apart;
    const place at = place_now(z.TK, ROWS, z.H);
    if (l.first && !l.first[at.b]) return;
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS;
    const int64_t head = at.h * z.D;
    const draw_source source = draws_of(z);
    sequence own = sequence_of(z, at.b, at.h);
    const span place_of_keys = own.k;
    const int count = own.keys - at.first;
    if (count <= 0) return;
    float keys[R][share<WIDTH>::ALL] = {}, values[R][share<WIDTH>::ALL] = {}, s[R][C], dp[R][C];
    load_tile<WIDTH, ROWS>(K, head_rows<const T>{k, own.k, head}, at.first, count, 1, z);
    load_tile<WIDTH, ROWS>(V, head_rows<const T>{v, own.k, head}, at.first, count, 1, z);
    for (int64_t b = at.b; b >= 0; b = l.next ? l.next[b] : -1) {
        own = sequence_of(z, b, at.h);
        const head_rows<const T> queries = {q, own.q, head}, douts = {dout, own.q, head};
        // The first query that sees any of these keys.
        for (int q0 = (at.first > own.reach ? at.first - own.reach : 0) / COLS * COLS; q0 < own.queries; q0 += COLS) {
            if (!TURNS) load_tile<WIDTH, COLS>(Q, queries, q0, own.queries - q0, z.scale, z);
            load_tile<WIDTH, COLS>(dO, douts, q0, own.queries - q0, 1, z);
            load_numbers<COLS>(lse, delta, n, own, q0, own.queries - q0);
            if (z.limit) draw_tile<COLS, ROWS>(P, 1, COLS + 4, own.sample, at.h, q0, at.first, z, source);
            BLOCK_SYNC();
            products<WIDTH>(dp, V, dO, z.D);
            if (TURNS) next_tile<WIDTH, COLS>(Q, queries, q0, own.queries - q0, z.scale, z);
            products<WIDTH>(s, K, Q, z.D);
            UNROLL for (int c = 0; c < C; c++) {
                const int t = x + ACROSS * c, seen = smaller(own.keys, q0 + t + own.reach + 1) - at.first;
                UNROLL for (int r = 0; r < R; r++) {
                    const int i = (y + DOWN * r) * (COLS + 4) + t;
                    float m = 1, p;
                    if (z.limit) m = P[i];
                    dS[i] = score_gradient(p, dp[r][c], s[r][c], lse[t], delta[t], m,
                                           q0 + t < own.queries && y + DOWN * r < seen);
                    P[i] = p;
                }
            }
            BLOCK_SYNC();
            add_products<WIDTH, COLS>(keys, dS, Q); // q holds the scale
            if (TURNS) next_tile<WIDTH, COLS>(dO, douts, q0, own.queries - q0, 1, z);
            add_products<WIDTH, COLS>(values, P, dO);
            BLOCK_SYNC();
        }
    }
    // One after the other, so that one tensor may be key and value at once.
    UNROLL for (int r = 0; r < R; r++) {
        if (y + DOWN * r >= count) continue;
        give_key<WIDTH>(dk, place_of_keys, head, at.first + y + DOWN * r, keys[r], acc_k, z);
        give_key<WIDTH>(dv, place_of_keys, head, at.first + y + DOWN * r, values[r], acc_v, z);
    }
}

// --- launches ----------------------------------------------------------------------------------------------
// Scratch: delta like lse, then the links.
static int64_t numbers_of(const attention_shape *z, int piece) {
    return z->segments ? z->H * z->q_rows[piece] : piece ? 0 : z->B * z->H * z->TQ;
}

size_t attention_tiles_scratch(const attention_shape *z) {
    const int64_t words = numbers_of(z, 0) + numbers_of(z, 1) + (z->segments ? 2 * z->B : 0);
    return (size_t)words * sizeof(float);
}

typedef struct back_task {
    const attention_gradients *g;
    const attention_tensors *x;
    const attention_shape *z;
    float *delta[2];
    links l;
} back_task;

template <class T, int WIDTH, int ROWS, int COLS> static void back_wide(const back_task &b, stream *s) {
    const attention_gradients *g = b.g;
    const attention_tensors *x = b.x;
    const attention_shape *z = b.z;
    const task t = task_of<T>(z, s, g->dq[0], g->dq[1], g->dk[0], g->dk[1], g->dk[2], g->dv[0], g->dv[1], g->dv[2],
                              g->dout[0], g->dout[1], x->q[0], x->q[1], x->k[0], x->k[1], x->k[2], x->v[0], x->v[1],
                              x->v[2]);
    const row_numbers n = {{{NULL, (const float *)x->lse[0], (const float *)x->lse[1]}},
                           {{NULL, b.delta[0], b.delta[1]}}};
    const pieces<const T> dout = query_pieces<T>(g->dout), q = query_pieces<T>(x->q);
    const pieces<const T> k = key_pieces<T>(x->k), v = key_pieces<T>(x->v);
    if (g->dq[0] || g->dq[1]) // first: where one tensor is query, key and value at once, the others add
        LAUNCH(s, "attention_backward", (query_kernel<T, WIDTH, ROWS, COLS>), tiles_of(z, z->TQ, ROWS),
               dim3(THREADS), query_pieces<T>(g->dq), dout, q, k, v, n, g->acc_q[0], g->acc_q[1], t);
    const piece_flags acc_k = key_flags(g->acc_k), acc_v = key_flags(g->acc_v);
    if (g->dk[0] || g->dk[1] || g->dk[2] || g->dv[0] || g->dv[1] || g->dv[2])
        LAUNCH(s, "attention_backward", (key_kernel<T, WIDTH, ROWS, COLS>), tiles_of(z, z->TK, ROWS), dim3(THREADS),
               key_pieces<T>(g->dk), key_pieces<T>(g->dv), dout, q, k, v, n, acc_k, acc_v, b.l, t);
}

template <class T> static void back_all(const back_task &b, stream *s) {
    const attention_shape *z = b.z;
    unnamed_list<T> list = {};
    list_queries(&list, b.g->dq, b.g->acc_q, z);
    list_keys(&list, b.g->dk, b.g->acc_k, z);
    list_keys(&list, b.g->dv, b.g->acc_v, z);
    clear_unnamed(list, z, s);
    for (int p = 0; p < 2; p++) {
        const int64_t numbers = numbers_of(z, p);
        if (!numbers) continue;
        LAUNCH(s, "attention_backward", (delta_kernel<T>), dim3((unsigned)divide_up(numbers, THREADS / 32)),
               dim3(THREADS), b.delta[p], (const T *)b.g->dout[p], (const T *)b.x->out[p], numbers,
               z->segments ? z->q_rows[p] : z->TQ, task_of<T>(z, s, b.delta[p]));
    }
    if (z->D <= 32)
        back_wide<T, 32, 64, 32>(b, s);
    else if (z->D <= 64)
        back_wide<T, 64, 32, 32>(b, s);
    else if (z->D <= 128)
        back_wide<T, 128, 16, 16>(b, s);
    else
        back_wide<T, 256, 8, 16>(b, s);
}

void attention_tiles_backward(const attention_gradients *g, const attention_tensors *x, const attention_shape *z,
                              dtype type, void *scratch, stream *s) {
    float *delta = (float *)scratch;
    back_task b = {g, x, z, {delta, delta + numbers_of(z, 0)}, {NULL, NULL}};
    if (z->segments) {
        b.l.first = (int32_t *)(b.delta[1] + numbers_of(z, 1));
        b.l.next = b.l.first + z->B;
        LAUNCH(s, "attention_links", links_kernel, dim3((unsigned)divide_up(z->B, THREADS)), dim3(THREADS), b.l,
               z->segments, z->B);
    }
    FOR_TYPE("attention", type, back_all, b, s);
}
