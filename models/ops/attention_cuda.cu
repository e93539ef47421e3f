// Attention of our own: tiles of queries and keys meet in shared memory, and no score is kept. It takes heads of
// any width up to 256 in every type, dense or in segments, with dropout; formulas are those of attention.c, the
// backward pass is attention_backward_cuda.cu's. Where cuDNN has engines (narrow types, no dropout, whole packs), its
// attention is taken instead: for dense ones here, for segments in attention_packed_cuda.cu.
#include "models/ops/attention_cuda.cuh"
extern "C" {
#include "core/cuda/cudnn_attention.h"
}

#include <float.h>

// The softmax of what has been seen so far: its largest score and the sum of exp(score - that). Row r sees the
// first seen[r] of the tile's keys.
template <int R, int C>
static __device__ __forceinline__ void softmax_step(float (&s)[R][C], float (&largest)[R], float (&sum)[R],
                                                    float (&shrink)[R], const int (&seen)[R]) {
    const int x = (int)threadIdx.x % ACROSS;
    UNROLL for (int r = 0; r < R; r++) {
        float most = largest[r], part = 0;
        UNROLL for (int c = 0; c < C; c++)
            if (x + ACROSS * c < seen[r]) most = fmaxf(most, s[r][c]);
        most = lanes_max(most, ACROSS);
        UNROLL for (int c = 0; c < C; c++) {
            s[r][c] = x + ACROSS * c < seen[r] ? fast_exp(s[r][c] - most) : 0;
            part += s[r][c];
        }
        shrink[r] = fast_exp(largest[r] - most);
        sum[r] = sum[r] * shrink[r] + lanes_sum(part, ACROSS);
        largest[r] = most;
    }
}

template <class T, int WIDTH, int ROWS, int COLS>
__global__ void __launch_bounds__(THREADS)
    forward_kernel(pieces<T> out, pieces<float> lse, pieces<const T> q, pieces<const T> k, pieces<const T> v,
                   task z) {
    constexpr int LINE = share<WIDTH>::LINE, R = ROWS / DOWN, C = COLS / ACROSS;
    SHARED(float, Q, ROWS *LINE);
    SHARED(float, K, COLS *LINE);
    SHARED(float, V, COLS *LINE);
    SHARED(float, P, ROWS *(COLS + 4));
    const place at = place_now(z.TQ, ROWS, z.H);
    const sequence own = sequence_of(z, at.b, at.h);
    const int x = (int)threadIdx.x % ACROSS, y = (int)threadIdx.x / ACROSS, count = own.queries - at.first;
    if (count <= 0) return;
    const int64_t head = at.h * z.D;
    const head_rows<const T> keys = {k, own.k, head}, values = {v, own.k, head};
    const draw_source source = draws_of(z);
    float sum[R][share<WIDTH>::ALL], largest[R], total[R], shrink[R], s[R][C];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int n = 0; n < share<WIDTH>::ALL; n++) sum[r][n] = 0;
        largest[r] = -FLT_MAX;
        total[r] = 0;
    }
    load_tile<WIDTH, ROWS>(Q, head_rows<const T>{q, own.q, head}, at.first, count, z.scale, z);
    const int end = smaller(own.keys, at.first + ROWS + own.reach); // of the keys that the last query sees
    for (int k0 = 0; k0 < end; k0 += COLS) {
        load_tile<WIDTH, COLS>(K, keys, k0, own.keys - k0, 1, z);
        load_tile<WIDTH, COLS>(V, values, k0, own.keys - k0, 1, z);
        if (z.limit) draw_tile<ROWS, COLS>(P, COLS + 4, 1, own.sample, at.h, at.first, k0, z, source);
        BLOCK_SYNC();
        products<WIDTH>(s, Q, K, z.D);
        int seen[R];
        UNROLL for (int r = 0; r < R; r++) seen[r] = smaller(own.keys, at.first + y + DOWN * r + own.reach + 1) - k0;
        softmax_step(s, largest, total, shrink, seen);
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
        if (t >= count) continue;
        const bool any = total[r] > 0; // a query may see no key
        give_row<WIDTH>(head_rows<T>{out, own.q, head}, at.first + t, sum[r], any ? 1 / total[r] : 0, 0, z);
        if (x == 0) *token(lse, own.numbers, at.first + t, 1) = any ? largest[r] + logf(total[r]) : 0;
    }
}

template <class T, int WIDTH, int ROWS, int COLS>
static void forward_wide(const attention_tensors *x, const attention_shape *z, stream *s) {
    LAUNCH(s, "attention_forward", (forward_kernel<T, WIDTH, ROWS, COLS>), tiles_of(z, z->TQ, ROWS), dim3(THREADS),
           query_pieces<T>(x->out), query_pieces<float>(x->lse), query_pieces<T>(x->q), key_pieces<T>(x->k),
           key_pieces<T>(x->v),
           task_of<T>(z, s, x->out[0], x->out[1], x->q[0], x->q[1], x->k[0], x->k[1], x->k[2], x->v[0], x->v[1],
                      x->v[2]));
}

template <class T> static void forward_all(const attention_tensors *x, const attention_shape *z, stream *s) {
    unnamed_list<T> list = {};
    list_queries(&list, x->out, NULL, z);
    clear_unnamed(list, z, s);
    if (z->D <= 32)
        forward_wide<T, 32, 64, 32>(x, z, s);
    else if (z->D <= 64)
        forward_wide<T, 64, 64, 32>(x, z, s);
    else if (z->D <= 128)
        forward_wide<T, 128, 32, 16>(x, z, s);
    else
        forward_wide<T, 256, 8, 16>(x, z, s);
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
    if (z->segments || z->dropout > 0 || type == DTYPE_F32 || z->D % 8 || z->D > WIDEST) return false;
    if (!z->B || !z->TQ || !z->TK) return false;
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

static void library_back(const attention_gradients *g, const attention_tensors *x, const attention_shape *z,
                         dtype type, char *scratch, stream *s) {
    const cudnn_attention c = library_of(z, type);
    const fresh f = fresh_of(z, type);
    const int64_t queries = z->B * z->TQ * z->H * z->D, keys = z->B * z->TK * z->H * z->D;
    char *dq = scratch, *dk = dq + f.q, *dv = dk + f.k, *rest = dv + f.k;
    const cudnn_attention_gradient to = {g->dq[0] && !g->acc_q[0] ? g->dq[0] : dq,
                                         g->dk[0] && !g->acc_k[0] ? g->dk[0] : dk,
                                         g->dv[0] && !g->acc_v[0] ? g->dv[0] : dv};
    cudnn_attention_backward(&to, g->dout[0], x->out[0], (const float *)x->lse[0], x->q[0], x->k[0], x->v[0],
                             (float)z->scale, NULL, &c, rest, s);
    if (g->dq[0] && g->acc_q[0]) add_backward_cuda(g->dq[0], dq, queries, 1, type, s);
    if (g->dk[0] && g->acc_k[0]) add_backward_cuda(g->dk[0], dk, keys, 1, type, s);
    if (g->dv[0] && g->acc_v[0]) add_backward_cuda(g->dv[0], dv, keys, 1, type, s);
}

// --- which way -------------------------------------------------------------------------------------------------
size_t attention_scratch_cuda(const attention_shape *z, dtype type, stream *s) {
    if (attention_packed_takes(z, type, s)) return attention_packed_scratch(z, type, s);
    if (!attention_by_library(z, type, s)) return attention_tiles_scratch(z);
    const cudnn_attention c = library_of(z, type);
    const fresh f = fresh_of(z, type);
    return f.q + 2 * f.k + cudnn_attention_scratch(&c, s);
}

void attention_forward_cuda(const attention_tensors *x, const attention_shape *z, dtype type, void *scratch,
                            stream *s) {
    KERNEL_BEGIN(s);
    if (attention_packed_takes(z, type, s)) {
        attention_packed_forward(x, z, type, scratch, s);
    } else if (attention_by_library(z, type, s)) {
        const cudnn_attention c = library_of(z, type);
        cudnn_attention_forward(x->out[0], (float *)x->lse[0], x->q[0], x->k[0], x->v[0], (float)z->scale, NULL, &c,
                                scratch, s);
    } else
        FOR_TYPE("attention", type, forward_all, x, z, s);
}

void attention_backward_cuda(const attention_gradients *g, const attention_tensors *x, const attention_shape *z,
                             dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    if (attention_packed_takes(z, type, s))
        attention_packed_backward(g, x, z, type, scratch, s);
    else if (attention_by_library(z, type, s))
        library_back(g, x, z, type, (char *)scratch, s);
    else
        attention_tiles_backward(g, x, z, type, scratch, s);
}
