// Root mean square normalisation (Zhang and Sennrich 2019) after a residual connection, the
// pre-norm of LLaMA in one pass:
//   s = x + y,   h = s r  with  r = 1 / sqrt(mean(s^2) + eps),   out = h w.
// The sum is an output of its own, as the next residual connection goes on from it; out is computed
// from what its type holds.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct rms_norm_saved {
    const void *sum; // (N, D)
    void *rstd;      // (N) wide
} rms_norm_saved;

// With g = dout w: dr/ds_j = -r^3 s_j / D, so dh_i/ds_j = r ([i = j] - h_i h_j / D), and with what
// comes to s from elsewhere, dsum,
//   ds = dsum + r (g - h mean(g h)),   dx = dy = ds,   dw = sum over rows of dout h.
static void rms_norm_rule(tape *t, const tape_node *node) {
    tensor *out = node->out[0], *sum = node->outs > 1 ? node->out[1] : NULL;
    tensor *x = node->in[0], *y = node->in[1], *weight = node->in[2];
    const rms_norm_saved *saved = node->saved;
    const int64_t rows = x->dim[0], D = x->dim[1];
    stream *s = t->device->stream;
    int acc_x, acc_y, acc_weight;
    void *dx = tape_gradient(t, x, &acc_x), *dy = tape_gradient(t, y, &acc_y);
    void *dweight = tape_gradient(t, weight, &acc_weight);
    size_t mark = tape_scratch_begin(t);
    void *scratch = NULL;
    if (dweight) scratch = tape_scratch(t, t->device->ops->rms_norm_scratch(rows, D, out->type, s));
    t->device->ops->rms_norm_backward(dx, dy, dweight, tape_output_gradient(out),
                                      sum ? tape_output_gradient(sum) : NULL, saved->sum,
                                      saved->rstd, weight->data, rows, D, acc_x, acc_y, acc_weight,
                                      out->type, scratch, s);
    tape_scratch_end(t, mark);
}

tensor *rms_norm(tape *t, tensor **sum, tensor *x, tensor *y, tensor *weight, double eps) {
    const dtype type = t->device->type, wide = dtype_wide(type);
    tensor_expect(x, "rms_norm x", 2, (int64_t[]){-1, -1});
    if (y) tensor_expect(y, "rms_norm y", 2, x->dim);
    tensor_expect(weight, "rms_norm weight", 1, &x->dim[1]);
    op_expect_type(x, "rms_norm x", type);
    if (y) op_expect_type(y, "rms_norm y", type);
    op_expect_type(weight, "rms_norm weight", wide);
    tensor *out[] = {tape_tensor(t, 2, x->dim), y ? tape_tensor(t, 2, x->dim) : x};
    rms_norm_saved *saved = tape_keep(t, sizeof *saved);
    saved->sum = out[1]->data;
    saved->rstd = tape_tensor_of(t, wide, 1, x->dim)->data;
    t->device->ops->rms_norm_forward(out[0]->data, y ? out[1]->data : NULL, saved->rstd, x->data,
                                     y ? y->data : NULL, weight->data, x->dim[0], x->dim[1], eps,
                                     type, t->device->stream);
    tape_record(t, "rms_norm", rms_norm_rule, saved, out, y && sum ? 2 : 1,
                (tensor *[]){x, y, weight}, 3);
    if (sum) *sum = out[1];
    return out[0];
}
