// Attention in segments by cuDNN's packed graphs, which want a sequence's tokens one behind the other: rows are
// copied there and back, at a memory's bandwidth a hundredth of the time of the projections beside it. Taken where the
// host knows that no keys are shared and whether segments are causal, in narrow types, without dropout (whose draws
// are ours).
//
// Plans know no table, so that few are made: sizes are rounded up, and segments and tokens that are not there have
// no length.
#include "models/ops/attention_cuda.cuh"
extern "C" {
#include "core/cuda/cudnn_attention.h"
}

enum { SEGMENT_STEP = 16, TOKEN_STEP = 64, COPIED = 4 }; // COPIED: tokens of a block

static int64_t rounded(int64_t count, int64_t step) {
    return divide_up(count, step) * step;
}

// --- memory ------------------------------------------------------------------------------------------------
// Scratch of a call. Lengths are by segments, starts in elements; the rest lies as cuDNN reads it.
typedef struct packed {
    cudnn_attention c;
    int32_t *q_length, *k_length; // (B)
    int64_t *q_start, *k_start;   // (B + 1)
    void *q, *out, *dout, *dq;    // (rows of queries, H, D)
    void *k, *v, *dk, *dv;        // (rows of keys, H, D)
    float *lse;                   // (B, H, TQ)
    void *rest;                   // cuDNN's own
    size_t bytes;                 // of all before the rest
} packed;

// NULL where the layout alone is asked for.
static char *take(packed *p, char *memory, size_t bytes) {
    char *at = memory ? memory + p->bytes : NULL;
    p->bytes += (bytes + 255) / 256 * 256;
    return at;
}

// The backward pass takes more; both are laid out alike.
static packed packed_of(const attention_shape *z, dtype type, void *scratch) {
    packed p = {};
    cudnn_attention *c = &p.c;
    char *m = (char *)scratch;
    c->B = rounded(z->B, SEGMENT_STEP), c->H = z->H, c->D = z->D;
    c->TQ = rounded(z->TQ, TOKEN_STEP), c->TK = rounded(z->TK, TOKEN_STEP);
    c->q_row = c->k_row = c->v_row = c->out_row = z->H * z->D;
    c->type = type;
    c->causal = z->known == SEGMENTS_CAUSAL;
    c->padded = c->packed = 1;
    const size_t row = (size_t)c->q_row * dtype_size(type), lengths = (size_t)c->B * sizeof(int32_t);
    const size_t starts = (size_t)(c->B + 1) * sizeof(int64_t);
    const size_t queries = (size_t)(z->q_rows[0] + z->q_rows[1]) * row;
    const size_t keys = (size_t)(z->k_rows[0] + z->k_rows[1] + z->k_rows[2]) * row;
    p.q_length = (int32_t *)take(&p, m, lengths), p.k_length = (int32_t *)take(&p, m, lengths);
    p.q_start = (int64_t *)take(&p, m, starts), p.k_start = (int64_t *)take(&p, m, starts);
    p.q = take(&p, m, queries), p.out = take(&p, m, queries);
    p.dout = take(&p, m, queries), p.dq = take(&p, m, queries);
    p.k = take(&p, m, keys), p.v = take(&p, m, keys);
    p.dk = take(&p, m, keys), p.dv = take(&p, m, keys);
    p.lse = (float *)take(&p, m, (size_t)(c->B * c->H * c->TQ) * sizeof(float));
    p.rest = take(&p, m, 0);
    return p;
}

static cudnn_attention_lengths lengths_of(const packed *p) {
    return {p->q_length, p->k_length, p->q_start, p->k_start, p->k_start, p->q_start};
}

// --- lengths -----------------------------------------------------------------------------------------------
// A segment's tokens. The first SKIPPED queries of a causal one see no key and are not copied.
typedef struct counts {
    int queries, keys, skipped;
} counts;

static __device__ __forceinline__ counts counts_of(const task &z, int64_t b) {
    const attention_segment g = z.segments[b];
    if (!is_live(g)) return {0, 0, 0};
    const sequence own = sequence_of(z, b, 0);
    const int skipped = own.reach < 0 ? -own.reach : 0;
    return {own.queries - skipped, own.keys, skipped};
}

// B: of the plan; the table has COUNT segments.
static __global__ void __launch_bounds__(THREADS)
    lengths_kernel(int32_t *q_length, int32_t *k_length, int64_t *q_start, int64_t *k_start, int64_t B, int64_t count,
                   task z) {
    const int64_t b = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (b > B) return;
    int64_t queries = 0, keys = 0;
    for (int64_t before = 0; before < b && before < count; before++) {
        const counts n = counts_of(z, before);
        queries += n.queries, keys += n.keys;
    }
    q_start[b] = queries * z.row;
    k_start[b] = keys * z.row;
    if (b == B) return;
    const counts own = b < count ? counts_of(z, b) : counts{0, 0, 0};
    q_length[b] = own.queries;
    k_length[b] = own.keys;
}

// --- copies ------------------------------------------------------------------------------------------------
// A tensor in rows, and where its segments' tokens stand behind each other.
template <class T> struct copied {
    pieces<T> rows;
    T *packed;
    piece_flags acc; // on the way back
};
template <class T> struct copy_list {
    copied<T> entry[3];
};

// A block's tokens from FIRST on, V elements at a time. BACK: to the rows, zeros for what was skipped.
template <int V, bool BACK, class T>
static __device__ __forceinline__ void copy_tokens(const copied<T> &x, const span &s, const counts &n, int tokens,
                                                   int64_t start, int first, const task &z) {
    const int packs = (int)(z.row / V);
    for (int i = (int)threadIdx.x; i < COPIED * packs; i += THREADS) {
        const int t = first + i / packs, d = i % packs * V;
        if (t >= tokens || !of_piece(x.rows.at, s, t)) continue;
        T *const row = token(x.rows, s, t, z.row) + d;
        T *const own = x.packed + start + (int64_t)(t - n.skipped) * z.row + d;
        if (BACK) {
            float value[V] = {};
            if (t >= n.skipped) load(value, own);
            give(row, value, of_piece(x.acc.at, s, t));
        } else if (t >= n.skipped) {
            *reinterpret_cast<pack<T, V> *>(own) = *reinterpret_cast<const pack<T, V> *>(row);
        }
    }
}

// Grid: tiles of COPIED tokens of all segments; tensors.
template <class T, bool KEYS, bool BACK>
__global__ void __launch_bounds__(THREADS) copy_kernel(copy_list<T> list, const int64_t *start, task z) {
    const copied<T> x = blockIdx.y == 0 ? list.entry[0] : blockIdx.y == 1 ? list.entry[1] : list.entry[2];
    const place at = place_now(KEYS ? z.TK : z.TQ, COPIED, 1);
    const sequence own = sequence_of(z, at.b, 0);
    counts n = counts_of(z, at.b);
    const int tokens = KEYS ? n.keys : n.skipped + n.queries;
    if (KEYS) n.skipped = 0;
    if (z.whole)
        copy_tokens<PACK<T>, BACK>(x, KEYS ? own.k : own.q, n, tokens, start[at.b], at.first, z);
    else
        copy_tokens<1, BACK>(x, KEYS ? own.k : own.q, n, tokens, start[at.b], at.first, z);
}

// The first COUNT of the list.
template <class T, bool KEYS, bool BACK>
static void copy(const copy_list<T> &list, int count, const packed &p, const attention_shape *z, const task &t,
                 stream *s) {
    attention_shape rows = *z;
    rows.H = 1;
    dim3 tiles = tiles_of(&rows, KEYS ? z->TK : z->TQ, COPIED);
    tiles.y = (unsigned)count;
    LAUNCH(s, "attention_copy", (copy_kernel<T, KEYS, BACK>), tiles, dim3(THREADS), list,
           KEYS ? p.k_start : p.q_start, t);
}

// Queries' lse between rows (H, rows) and cuDNN's (B, H, TQ).
template <bool BACK>
static __global__ void __launch_bounds__(THREADS) lse_kernel(pieces<float> rows, float *heads, int64_t TQ, task z) {
    const place at = place_now(z.TQ, THREADS, z.H);
    const counts n = counts_of(z, at.b);
    const int t = at.first + (int)threadIdx.x, i = t - n.skipped;
    if (t >= n.skipped + n.queries) return;
    float *const row = token(rows, sequence_of(z, at.b, at.h).numbers, t, 1);
    float *const own = heads + (at.b * z.H + at.h) * TQ + i;
    if (BACK)
        *row = i < 0 ? 0 : *own;
    else if (i >= 0)
        *own = *row;
}

template <bool BACK>
static void copy_lse(const attention_tensors *x, const packed &p, const attention_shape *z, const task &t, stream *s) {
    LAUNCH(s, "attention_copy", (lse_kernel<BACK>), tiles_of(z, z->TQ, THREADS), dim3(THREADS),
           query_pieces<float>(x->lse), p.lse, p.c.TQ, t);
}

// --- the two passes ----------------------------------------------------------------------------------------
template <class T> static pieces<T> writable(pieces<const T> x) {
    return {{const_cast<T *>(x.at[0]), const_cast<T *>(x.at[1]), const_cast<T *>(x.at[2])}};
}

// Lengths, queries, keys and values; with DOUT also what the forward pass has made, and that.
template <class T>
static void gather(const packed &p, const attention_tensors *x, const void *const dout[2], const attention_shape *z,
                   const task &t, stream *s) {
    LAUNCH(s, "attention_lengths", lengths_kernel, dim3((unsigned)divide_up(p.c.B + 1, THREADS)), dim3(THREADS),
           p.q_length, p.k_length, p.q_start, p.k_start, p.c.B, z->B, t);
    copy_list<T> queries = {{{writable(query_pieces<T>(x->q)), (T *)p.q, {}}}};
    if (dout) {
        queries.entry[1] = {query_pieces<T>(x->out), (T *)p.out, {}};
        queries.entry[2] = {writable(query_pieces<T>(dout)), (T *)p.dout, {}};
    }
    const copy_list<T> keys = {
        {{writable(key_pieces<T>(x->k)), (T *)p.k, {}}, {writable(key_pieces<T>(x->v)), (T *)p.v, {}}}};
    copy<T, false, false>(queries, dout ? 3 : 1, p, z, t, s);
    copy<T, true, false>(keys, 2, p, z, t, s);
    if (dout) copy_lse<false>(x, p, z, t, s);
}

template <class T>
static void forward_packed(const packed &p, const attention_tensors *x, const attention_shape *z, stream *s) {
    const task t = task_of<T>(z, s, x->out[0], x->out[1], x->q[0], x->q[1], x->k[0], x->k[1], x->k[2], x->v[0],
                              x->v[1], x->v[2]);
    const cudnn_attention_lengths lengths = lengths_of(&p);
    unnamed_list<T> list = {};
    list_queries(&list, x->out, NULL, z);
    clear_unnamed(list, z, s);
    gather<T>(p, x, NULL, z, t, s);
    cudnn_attention_forward(p.out, p.lse, p.q, p.k, p.v, (float)z->scale, &lengths, &p.c, p.rest, s);
    copy<T, false, true>({{{query_pieces<T>(x->out), (T *)p.out, {}}}}, 1, p, z, t, s);
    copy_lse<true>(x, p, z, t, s);
}

template <class T>
static void backward_packed(const packed &p, const attention_gradients *g, const attention_tensors *x,
                            const attention_shape *z, stream *s) {
    const task t = task_of<T>(z, s, g->dq[0], g->dq[1], g->dk[0], g->dk[1], g->dk[2], g->dv[0], g->dv[1], g->dv[2],
                              g->dout[0], g->dout[1], x->out[0], x->out[1], x->q[0], x->q[1], x->k[0], x->k[1],
                              x->k[2], x->v[0], x->v[1], x->v[2]);
    const cudnn_attention_lengths lengths = lengths_of(&p);
    const cudnn_attention_gradient to = {p.dq, p.dk, p.dv};
    unnamed_list<T> list = {};
    list_queries(&list, g->dq, g->acc_q, z);
    list_keys(&list, g->dk, g->acc_k, z);
    list_keys(&list, g->dv, g->acc_v, z);
    clear_unnamed(list, z, s);
    gather<T>(p, x, g->dout, z, t, s);
    cudnn_attention_backward(&to, p.dout, p.out, p.lse, p.q, p.k, p.v, (float)z->scale, &lengths, &p.c, p.rest, s);
    copy<T, false, true>({{{query_pieces<T>(g->dq), (T *)p.dq, {{0, g->acc_q[0], g->acc_q[1]}}}}}, 1, p, z, t, s);
    copy<T, true, true>({{{key_pieces<T>(g->dk), (T *)p.dk, key_flags(g->acc_k)},
                          {key_pieces<T>(g->dv), (T *)p.dv, key_flags(g->acc_v)}}},
                        2, p, z, t, s);
}

// --- attention_cuda.cu -------------------------------------------------------------------------------------
bool attention_packed_takes(const attention_shape *z, dtype type, stream *s) {
    if (!z->segments || !z->known || z->dropout > 0 || type == DTYPE_F32 || !z->B) return false;
    const packed p = packed_of(z, type, NULL);
    return cudnn_attention_takes(&p.c, s);
}

size_t attention_packed_scratch(const attention_shape *z, dtype type, stream *s) {
    const packed p = packed_of(z, type, NULL);
    return p.bytes + cudnn_attention_scratch(&p.c, s);
}

void attention_packed_forward(const attention_tensors *x, const attention_shape *z, dtype type, void *scratch,
                              stream *s) {
    const packed p = packed_of(z, type, scratch);
    (type == DTYPE_BF16 ? forward_packed<bf16> : forward_packed<f16>)(p, x, z, s);
}

void attention_packed_backward(const attention_gradients *g, const attention_tensors *x, const attention_shape *z,
                               dtype type, void *scratch, stream *s) {
    const packed p = packed_of(z, type, scratch);
    (type == DTYPE_BF16 ? backward_packed<bf16> : backward_packed<f16>)(p, g, x, z, s);
}
