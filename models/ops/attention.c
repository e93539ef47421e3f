// Attention (Vaswani et al. 2017, 3.2.1), per sample and head, without masks:
//   S = scale Q K^T,  P = softmax(S),  out = M(P) V,   scale = 1 / sqrt(D), M: dropout.
// The probabilities are never stored: what is kept is lse_i = log of the sum over j of exp(S_ij),
// from which the rule computes P_ij = exp(S_ij - lse_i) again (Dao et al. 2022,
// FlashAttention, 3.1).
#include "models/ops/ops.h"

#include <math.h>

typedef struct attention_saved {
    attention_shape z;
    void *lse; // (B, H, TQ) wide
} attention_saved;

// With A = M(P), m the dropout's factors (0 or 1 / (1 - rate)) and row by row:
//   dV = A^T dO,  dA = dO V^T,  dP = m dA,
//   dS_ij = P_ij (dP_ij - sum_k P_ik dP_ik),  and the sum is dO_i . O_i, since
//           sum_k P_ik m_ik (dO_i . V_k) = dO_i . sum_k A_ik V_k,
//   dQ = scale dS K,  dK = scale dS^T Q.
static void attention_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *q = node->in[0], *k = node->in[1], *v = node->in[2];
    const attention_saved *saved = node->saved;
    int acc_q, acc_k, acc_v;
    void *dq = tape_gradient(t, q, &acc_q), *dk = tape_gradient(t, k, &acc_k);
    void *dv = tape_gradient(t, v, &acc_v);
    size_t mark = tape_scratch_begin(t);
    void *scratch =
        tape_scratch(t, t->device->ops->attention_scratch(&saved->z, y->type, t->device->stream));
    t->device->ops->attention_backward(dq, dk, dv, tape_output_gradient(y), y->data, saved->lse,
                                       q->data, k->data, v->data, &saved->z, acc_q, acc_k, acc_v,
                                       y->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
}

tensor *attention(tape *t, tensor *q, tensor *k, tensor *v, double dropout_rate) {
    tensor_expect(q, "attention q", 4, (int64_t[]){-1, -1, -1, -1});
    int64_t B = q->dim[0], TQ = q->dim[1], H = q->dim[2], D = q->dim[3];
    tensor_expect(k, "attention k", 4, (int64_t[]){B, -1, H, D});
    tensor_expect(v, "attention v", 4, k->dim);
    if (!(dropout_rate >= 0 && dropout_rate < 1))
        die("attention: the dropout rate is %g, expected 0 <= rate < 1", dropout_rate);
    attention_saved *saved = tape_keep(t, sizeof *saved);
    saved->z = (attention_shape){.B = B, .TQ = TQ, .TK = k->dim[1], .H = H, .D = D};
    saved->z.scale = 1 / sqrt((double)D);
    if (t->training && dropout_rate > 0) {
        saved->z.dropout = dropout_rate;
        saved->z.key = tape_draw(t);
        saved->z.first_sample = t->first_sample;
    }
    tensor *y = tape_tensor(t, 4, q->dim);
    saved->lse = tape_tensor_of(t, dtype_wide(y->type), 3, (int64_t[]){B, H, TQ})->data;
    size_t mark = tape_scratch_begin(t);
    void *scratch =
        tape_scratch(t, t->device->ops->attention_scratch(&saved->z, y->type, t->device->stream));
    t->device->ops->attention_forward(y->data, saved->lse, q->data, k->data, v->data, &saved->z,
                                      y->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
    tape_record(t, "attention", attention_rule, saved, &y, 1, (tensor *[]){q, k, v}, 3);
    return y;
}
