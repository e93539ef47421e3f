// Attention as graphs of cuDNN's backend interface. Its engines know such graphs by their form:
// each operation here stands where the engine looks for it, also where mathematics would allow
// another order.
#include "core/cuda/cudnn_attention.h"
#include "core/cuda/cudnn_private.h"

#include <math.h>
#include <stdio.h>

// Apart from convolutions' kinds by the size of the key.
typedef struct recipe {
    int64_t backward;
    cudnn_attention sizes;
} recipe;

// The tensors' numbers in graphs.
enum {
    Q = 1,
    K,
    V,
    OUT,
    LSE,
    DQ,
    DK,
    DV,
    DOUT,
    DOT, // (B,H,TQ): the sums over D of dout out, in scratch
    Q_LENGTH,
    K_LENGTH,
    Q_START,
    K_START,
    V_START,
    OUT_START,
    SCALE,
    LOW, // minus infinity
    ONE,
};

typedef struct parts {
    graph *g;
    const cudnn_attention *z;
    cudnnDataType_t type;
    shape q, k, v, out, score, turned, row; // turned: score for products over queries
    node q_length, k_length, q_start, k_start, v_start, out_start; // NULL where there is none
    node scale, low;
} parts;

static const cudnnDataType_t F32 = CUDNN_DATA_FLOAT, I32 = CUDNN_DATA_INT32,
                             FLAG = CUDNN_DATA_BOOLEAN;

static shape shape_heads(const cudnn_attention *z, int64_t T, int64_t row) {
    return (shape){{z->B, z->H, T, z->D}, {T * row, z->D, row, 1}};
}

static node numbers(graph *g, int64_t uid, cudnnDataType_t type, int64_t count) {
    const shape of = {{count, 1, 1, 1}, {1, 1, 1, 1}};
    return graph_tensor(g, uid, type, &of, NULL);
}

static parts parts_of(graph *g, const cudnn_attention *z) {
    const int64_t B = z->B, H = z->H, TQ = z->TQ, TK = z->TK;
    parts p = {.g = g, .z = z, .type = graph_type(z->type)};
    p.q = shape_heads(z, TQ, z->q_row);
    p.k = shape_heads(z, TK, z->k_row);
    p.v = shape_heads(z, TK, z->v_row);
    p.out = shape_heads(z, TQ, z->out_row);
    p.score = (shape){{B, H, TQ, TK}, {H * TQ * TK, TQ * TK, TK, 1}};
    p.turned = shape_turned(&p.score);
    p.row = (shape){{B, H, TQ, 1}, {H * TQ, TQ, 1, 1}};
    if (z->padded || z->packed) {
        p.q_length = numbers(g, Q_LENGTH, I32, B);
        p.k_length = numbers(g, K_LENGTH, I32, B);
    }
    if (z->packed) {
        p.q_start = numbers(g, Q_START, CUDNN_DATA_INT64, B + 1);
        p.k_start = numbers(g, K_START, CUDNN_DATA_INT64, B + 1);
        p.v_start = numbers(g, V_START, CUDNN_DATA_INT64, B + 1);
        p.out_start = numbers(g, OUT_START, CUDNN_DATA_INT64, B + 1);
    }
    p.scale = graph_scalar(g, SCALE);
    p.low = graph_scalar(g, LOW);
    return p;
}

// --- pieces of both graphs -----------------------------------------------------------------------
static node score_like(const parts *p, cudnnDataType_t type) {
    return graph_virtual(p->g, type, &p->score);
}

// MODE of X and B (NULL: of X alone) over all scores, in f32.
static node each(const parts *p, cudnnPointwiseMode_t mode, node x, node b) {
    node out = score_like(p, F32);
    graph_pointwise(p->g, mode, F32, x, b, NULL, out);
    return out;
}

static node compared(const parts *p, cudnnPointwiseMode_t mode, node a, node b) {
    node out = score_like(p, FLAG);
    graph_pointwise(p->g, mode, FLAG, a, b, NULL, out);
    return out;
}

static node index_along(const parts *p, node x, int64_t axis) {
    node out = score_like(p, I32);
    graph_index(p->g, x, axis, out);
    return out;
}

// X where SEEN, else minus infinity.
static node chosen(const parts *p, node x, node seen) {
    node out = score_like(p, F32);
    graph_pointwise(p->g, CUDNN_POINTWISE_BINARY_SELECT, F32, x, p->low, seen, out);
    return out;
}

static node within_lengths(const parts *p, node x) {
    if (!p->q_length) return x;
    node row = index_along(p, x, 2), column = index_along(p, x, 3);
    node row_is = compared(p, CUDNN_POINTWISE_CMP_LT, row, p->q_length);
    node column_is = compared(p, CUDNN_POINTWISE_CMP_LT, column, p->k_length);
    return chosen(p, x, compared(p, CUDNN_POINTWISE_LOGICAL_AND, row_is, column_is));
}

// A sample's queries are its last tokens: query i is key i + (keys - queries).
static node not_ahead(const parts *p, node x) {
    if (!p->z->causal) return x;
    node row = index_along(p, x, 2), column = index_along(p, x, 3);
    if (p->q_length) {
        node ahead = score_like(p, I32), own = score_like(p, I32);
        graph_pointwise(p->g, CUDNN_POINTWISE_ADD, I32, row, p->k_length, NULL, ahead);
        graph_pointwise(p->g, CUDNN_POINTWISE_SUB, I32, ahead, p->q_length, NULL, own);
        row = own;
    }
    return chosen(p, x, compared(p, CUDNN_POINTWISE_CMP_GE, row, column));
}

// SCALE q k'.
static node scores(const parts *p, node q, node k_turned, bool padded) {
    node raw = score_like(p, F32);
    graph_matmul(p->g, q, k_turned, raw, p->q_length, p->k_length, NULL, padded);
    return each(p, CUDNN_POINTWISE_MUL, raw, p->scale);
}

static node row_reduced(const parts *p, cudnnReduceTensorOp_t how, node x) {
    node out = graph_virtual(p->g, F32, &p->row);
    graph_reduce(p->g, how, x, out);
    return out;
}

// --- the two graphs ------------------------------------------------------------------------------
static void forward_graph(graph *g, const cudnn_attention *z) {
    const parts p = parts_of(g, z);
    const shape k_turned = shape_turned(&p.k);
    node q = graph_tensor(g, Q, p.type, &p.q, p.q_start),
         k = graph_tensor(g, K, p.type, &k_turned, p.k_start);
    node v = graph_tensor(g, V, p.type, &p.v, p.v_start),
         out = graph_tensor(g, OUT, p.type, &p.out, p.out_start);
    node x = not_ahead(&p, within_lengths(&p, scores(&p, q, k, p.q_length != NULL)));
    node most = row_reduced(&p, CUDNN_REDUCE_TENSOR_MAX, x);
    node exponential = each(&p, CUDNN_POINTWISE_EXP, each(&p, CUDNN_POINTWISE_SUB, x, most), NULL);
    node sum = row_reduced(&p, CUDNN_REDUCE_TENSOR_ADD, exponential);
    node log_sum = graph_virtual(g, F32, &p.row), lse = graph_tensor(g, LSE, F32, &p.row, NULL);
    graph_pointwise(g, CUDNN_POINTWISE_LOG, F32, sum, NULL, NULL, log_sum);
    graph_pointwise(g, CUDNN_POINTWISE_ADD, F32, most, log_sum, NULL, lse);
    node share = score_like(&p, p.type);
    graph_pointwise(g, CUDNN_POINTWISE_DIV, F32, exponential, sum, NULL, share);
    graph_matmul(g, share, v, out, p.q_length, NULL, p.k_length, false);
}

// OUT (over keys) = X' B: dv from shares, dk from dscores.
static void product_over_queries(const parts *p, node x, node b, node out) {
    node turned = graph_virtual(p->g, p->type, &p->turned);
    graph_reshape(p->g, x, turned);
    graph_matmul(p->g, turned, b, out, p->k_length, NULL, p->q_length, false);
}

// With P = softmax(x), x = SCALE q k', out = P v:
//   dv = P' dout; dP = dout v'; dx = P (dP - rows' sums of dP P), and these sums are those of dout
//   out over D; dq = SCALE dx k; dk = SCALE dx' q. P = exp(x - lse) is computed again (Dao 2023,
//   algorithm 2).
static void backward_graph(graph *g, const cudnn_attention *z) {
    const parts p = parts_of(g, z);
    const shape k_turned = shape_turned(&p.k), v_turned = shape_turned(&p.v);
    node q = graph_tensor(g, Q, p.type, &p.q, p.q_start),
         k = graph_tensor(g, K, p.type, &k_turned, p.k_start);
    node v = graph_tensor(g, V, p.type, &v_turned, p.v_start),
         out = graph_tensor(g, OUT, p.type, &p.out, p.out_start);
    node dout = graph_tensor(g, DOUT, p.type, &p.out, p.out_start),
         lse = graph_tensor(g, LSE, F32, &p.row, NULL);
    const int64_t T = z->TQ, D = z->D;
    const shape plain = {{z->B, z->H, T, D}, {z->H * T * D, T * D, z->H * D, 1}};

    node both = graph_virtual(g, F32, &plain), dot = graph_tensor(g, DOT, F32, &p.row, NULL);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, F32, dout, out, NULL, both);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, F32, row_reduced(&p, CUDNN_REDUCE_TENSOR_ADD, both),
                    graph_scalar(g, ONE), NULL, dot);

    node x = each(&p, CUDNN_POINTWISE_SUB, within_lengths(&p, scores(&p, q, k, false)), lse);
    node share = each(&p, CUDNN_POINTWISE_EXP, not_ahead(&p, x), NULL);
    product_over_queries(&p, share, dout, graph_tensor(g, DV, p.type, &p.v, p.v_start));

    node dshare = score_like(&p, F32), dscore = score_like(&p, p.type);
    graph_matmul(g, dout, v, dshare, p.q_length, p.k_length, NULL, false);
    node dx = each(&p, CUDNN_POINTWISE_MUL, each(&p, CUDNN_POINTWISE_SUB, dshare, dot), share);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, F32, dx, p.scale, NULL, dscore);
    product_over_queries(&p, dscore, q, graph_tensor(g, DK, p.type, &p.k, p.k_start));

    node k_again = graph_virtual(g, p.type, &p.k);
    graph_reshape(g, k, k_again);
    graph_matmul(g, dscore, k_again, graph_tensor(g, DQ, p.type, &p.q, p.q_start), p.q_length, NULL,
                 p.k_length, false);
}

static void build_plan(graph *g, char what[256], const void *key) {
    const recipe *r = key;
    const cudnn_attention *z = &r->sizes;
    (r->backward ? backward_graph : forward_graph)(g, z);
    snprintf(what, 256,
             "attention%s of %lld x %lld heads of %lld, %lld by %lld tokens, %s%s%s%s",
             r->backward ? "'s gradient" : "", (long long)z->B, (long long)z->H, (long long)z->D,
             (long long)z->TQ, (long long)z->TK, dtype_name((dtype)z->type),
             z->causal ? ", causal" : "", z->padded ? ", padded" : "", z->packed ? ", packed" : "");
}

static const plan *plan_find(stream *s, bool backward, const cudnn_attention *z) {
    recipe r = {backward, *z};
    r.sizes.inference = 0; // the same graph: engines know none without lse
    return plan_of(s, &r, sizeof r, build_plan, (plan_rules){0});
}

// --- running -------------------------------------------------------------------------------------
bool cudnn_attention_takes(const cudnn_attention *z, stream *s) {
    const bool wide = z->type != DTYPE_BF16 && z->type != DTYPE_F16;
    const int64_t odd = z->D | z->q_row | z->k_row | z->v_row | z->out_row;
    if (wide || odd % 8 || z->D > 128 || stream_cuda(s)->sm < 80) return false;
    if (!z->B || !z->TQ || !z->TK) return false;
    const plan *forward = plan_find(s, false, z),
               *backward = z->inference ? forward : plan_find(s, true, z);
    return forward && backward && forward->plan && backward->plan;
}

// Of one f32 per query: DOT, and lse where nobody wants it.
static size_t row_bytes(const cudnn_attention *z) {
    return ((size_t)(z->B * z->H * z->TQ) * sizeof(float) + 255) / 256 * 256;
}

size_t cudnn_attention_scratch(const cudnn_attention *z, stream *s) {
    const plan *forward = plan_find(s, false, z),
               *backward = z->inference ? NULL : plan_find(s, true, z);
    const size_t first = forward ? forward->workspace : 0,
                 second = backward ? backward->workspace : 0;
    return row_bytes(z) + (first > second ? first : second);
}

static const float minus_infinity = -INFINITY, one = 1;

static void add_common(plan_tensors *t, const void *q, const void *k, const void *v,
                       const float *scale, const cudnn_attention_lengths *lengths,
                       const cudnn_attention *z) {
    plan_tensor(t, Q, q);
    plan_tensor(t, K, k);
    plan_tensor(t, V, v);
    plan_tensor(t, SCALE, scale);
    if (z->causal || z->padded || z->packed) plan_tensor(t, LOW, &minus_infinity);
    if (!z->padded && !z->packed) return;
    if (!lengths) die("cuDNN: padded attention without lengths");
    plan_tensor(t, Q_LENGTH, lengths->q);
    plan_tensor(t, K_LENGTH, lengths->k);
    if (!z->packed) return;
    plan_tensor(t, Q_START, lengths->q_start);
    plan_tensor(t, K_START, lengths->k_start);
    plan_tensor(t, V_START, lengths->v_start);
    plan_tensor(t, OUT_START, lengths->out_start);
}

static void run(const plan_tensors *t, bool backward, const cudnn_attention *z, void *scratch,
                stream *s) {
    plan_run(plan_find(s, backward, z), t, scratch, s);
}

void cudnn_attention_forward(void *out, float *lse, const void *q, const void *k, const void *v,
                             float scale, const cudnn_attention_lengths *lengths,
                             const cudnn_attention *z, void *scratch, stream *s) {
    plan_tensors t = {0};
    add_common(&t, q, k, v, &scale, lengths, z);
    plan_tensor(&t, OUT, out);
    plan_tensor(&t, LSE, z->inference ? scratch : lse);
    run(&t, false, z, (char *)scratch + row_bytes(z), s);
}

void cudnn_attention_backward(const cudnn_attention_gradient *to, const void *dout, const void *out,
                              const float *lse, const void *q, const void *k, const void *v,
                              float scale, const cudnn_attention_lengths *lengths,
                              const cudnn_attention *z, void *scratch, stream *s) {
    plan_tensors t = {0};
    if (z->inference) die("cuDNN: the gradient of attention that was made for inference");
    add_common(&t, q, k, v, &scale, lengths, z);
    plan_tensor(&t, OUT, out);
    plan_tensor(&t, LSE, lse);
    plan_tensor(&t, DOUT, dout);
    plan_tensor(&t, DQ, to->dq);
    plan_tensor(&t, DK, to->dk);
    plan_tensor(&t, DV, to->dv);
    plan_tensor(&t, DOT, scratch);
    plan_tensor(&t, ONE, &one);
    run(&t, true, z, (char *)scratch + row_bytes(z), s);
}
