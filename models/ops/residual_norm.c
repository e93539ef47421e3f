// Layer normalisation after a residual connection in one pass (Vaswani et al. 2017, the post-norm
// of BERT):  s = x + dropout(y),  out = LN(s) as in layer_norm.c, the dropout that of dropout_rows.
//
// Of s one copy is kept, in the activations' type, where there is a backward pass; out is computed
// from what that type holds. Dropout draws again, as in dropout.c.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct residual_norm_saved {
    dropout_shape z;
    void *sum;         // (N, D)
    void *mean, *rstd; // (N) wide
} residual_norm_saved;

// ds, dweight and dbias are those of layer_norm.c on s. Then s = x + y m gives dx = ds, dy = ds m.
static void residual_norm_rule(tape *t, const tape_node *node) {
    tensor *out = node->out[0], *x = node->in[0], *y = node->in[1];
    tensor *weight = node->in[2], *bias = node->in[3];
    const residual_norm_saved *saved = node->saved;
    const dropout_shape *z = &saved->z;
    int acc_x, acc_y, acc_weight, acc_bias;
    void *dx = tape_gradient(t, x, &acc_x), *dy = tape_gradient(t, y, &acc_y);
    void *dweight = tape_gradient(t, weight, &acc_weight);
    void *dbias = tape_gradient(t, bias, &acc_bias);
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, t->device->ops->residual_norm_scratch(
                                        z->samples, z->per_sample, out->type, t->device->stream));
    t->device->ops->residual_norm_backward(
        dx, dy, dweight, dbias, tape_output_gradient(out), saved->sum, saved->mean, saved->rstd,
        weight->data, z, acc_x, acc_y, acc_weight, acc_bias, out->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
}

static dropout_shape shape_of(tape *t, const tensor *x, const tensor *rows, double rate) {
    dropout_shape z = {.samples = x->dim[0], .per_sample = x->dim[1], .group = 1};
    if (!(rate >= 0 && rate < 1))
        die("residual_norm: the rate is %g, expected 0 <= rate < 1", rate);
    if (rows) {
        tensor_expect(rows, "residual_norm rows", 2, (int64_t[]){x->dim[0], 2});
        op_expect_type(rows, "residual_norm rows", DTYPE_I32);
    }
    if (!t->training || rate == 0) return z;
    if (!rows) die("residual_norm: dropout without rows");
    z.rate = rate;
    z.rows = rows->data;
    z.key = tape_draw(t);
    return z;
}

tensor *residual_norm(tape *t, tensor *x, tensor *y, tensor *rows, double rate, tensor *weight,
                      tensor *bias, double eps) {
    tensor_expect(x, "residual_norm x", 2, (int64_t[]){-1, -1});
    tensor_expect(y, "residual_norm y", 2, x->dim);
    tensor_expect(weight, "residual_norm weight", 1, &x->dim[1]);
    tensor_expect(bias, "residual_norm bias", 1, &x->dim[1]);
    tensor *in[] = {x, y, weight, bias}, *out = tape_tensor(t, 2, x->dim);
    dtype wide = dtype_wide(out->type);
    residual_norm_saved *saved = tape_keep(t, sizeof *saved);
    saved->z = shape_of(t, x, rows, rate);
    saved->sum = tape_wants(t, in, 4) ? tape_tensor(t, 2, x->dim)->data : NULL;
    saved->mean = tape_tensor_of(t, wide, 1, x->dim)->data;
    saved->rstd = tape_tensor_of(t, wide, 1, x->dim)->data;
    t->device->ops->residual_norm_forward(out->data, saved->sum, saved->mean, saved->rstd, x->data,
                                          y->data, weight->data, bias->data, &saved->z, eps,
                                          out->type, t->device->stream);
    tape_record(t, "residual_norm", residual_norm_rule, saved, &out, 1, in, 4);
    return out;
}
