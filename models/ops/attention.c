// Attention (Vaswani et al. 2017, 3.2.1), per sample and head, without masks:
//   S = scale Q K^T,  P = softmax(S),  out = M(P) V,   scale = 1 / sqrt(D), M: dropout.
// The probabilities are never stored: what is kept is lse_i = log of the sum over j of exp(S_ij),
// from which the rule computes P_ij = exp(S_ij - lse_i) again (Dao et al. 2022,
// FlashAttention, 3.1).
#include "models/ops/attention_op.h"

#include <math.h>

void attention_run(tape *t, const attention_saved *saved) {
    const device *d = t->device;
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, d->ops->attention_scratch(&saved->z, d->type, d->stream));
    t->device->ops->attention_forward(&saved->x, &saved->z, d->type, scratch, d->stream);
    tape_scratch_end(t, mark);
}

void attention_run_back(tape *t, const attention_saved *saved, const attention_gradients *g) {
    const device *d = t->device;
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, d->ops->attention_scratch(&saved->z, d->type, d->stream));
    t->device->ops->attention_backward(g, &saved->x, &saved->z, d->type, scratch, d->stream);
    tape_scratch_end(t, mark);
}

void attention_drop(tape *t, attention_shape *z, double rate) {
    if (!(rate >= 0 && rate < 1))
        die("attention: the dropout rate is %g, expected 0 <= rate < 1", rate);
    if (!t->training || rate == 0) return;
    if (z->TQ > ATTENTION_MOST_DRAWN || z->TK > ATTENTION_MOST_DRAWN)
        die("attention: %lld queries on %lld keys, with dropout at most %d of both",
            (long long)z->TQ, (long long)z->TK, ATTENTION_MOST_DRAWN);
    z->dropout = rate;
    z->key = tape_draw(t);
    z->first_sample = t->first_sample;
}

// With A = M(P), m the dropout's factors (0 or 1 / (1 - rate)) and row by row:
//   dV = A^T dO,  dA = dO V^T,  dP = m dA,
//   dS_ij = P_ij (dP_ij - sum_k P_ik dP_ik),  and the sum is dO_i . O_i, since
//           sum_k P_ik m_ik (dO_i . V_k) = dO_i . sum_k A_ik V_k,
//   dQ = scale dS K,  dK = scale dS^T Q.
static void attention_rule(tape *t, const tape_node *node) {
    const attention_saved *saved = node->saved;
    attention_gradients g = {.dout = {tape_output_gradient(node->out[0])}};
    g.dq[0] = tape_gradient(t, node->in[0], &g.acc_q[0]);
    g.dk[0] = tape_gradient(t, node->in[1], &g.acc_k[0]);
    g.dv[0] = tape_gradient(t, node->in[2], &g.acc_v[0]);
    attention_run_back(t, saved, &g);
}

tensor *attention(tape *t, tensor *q, tensor *k, tensor *v, double dropout_rate) {
    tensor_expect(q, "attention q", 4, (int64_t[]){-1, -1, -1, -1});
    int64_t B = q->dim[0], TQ = q->dim[1], H = q->dim[2], D = q->dim[3];
    tensor_expect(k, "attention k", 4, (int64_t[]){B, -1, H, D});
    tensor_expect(v, "attention v", 4, k->dim);
    attention_saved *saved = tape_keep(t, sizeof *saved);
    saved->z = (attention_shape){.B = B, .TQ = TQ, .TK = k->dim[1], .H = H, .D = D};
    saved->z.scale = 1 / sqrt((double)D);
    attention_drop(t, &saved->z, dropout_rate);
    tensor *y = tape_tensor(t, 4, q->dim);
    void *lse = tape_tensor_of(t, dtype_wide(y->type), 3, (int64_t[]){B, H, TQ})->data;
    saved->x = (attention_tensors){{y->data}, {lse}, {q->data}, {k->data}, {v->data}};
    attention_run(t, saved);
    tape_record(t, "attention", attention_rule, saved, &y, 1, (tensor *[]){q, k, v}, 3);
    return y;
}
