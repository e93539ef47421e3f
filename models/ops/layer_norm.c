// Layer normalisation (Ba et al. 2016) over the last dimension, as torch's LayerNorm:
//   h = (x - mean) rstd,  rstd = 1 / sqrt(var + eps) with the biased variance,  y = h w + b.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct layer_norm_saved {
    void *mean, *rstd; // (rows) wide
} layer_norm_saved;

// db = sum over rows of dy, dw = sum over rows of dy h. With g = dy w,
//   dh/dx: mean and rstd depend on x; d mean / dx_j = 1/D, d rstd / dx_j = -rstd^2 h_j / D, so
//   dx_j = rstd (g_j - mean(g) - h_j mean(g h)).
static void layer_norm_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
    const layer_norm_saved *saved = node->saved;
    int64_t D = weight->dim[0], rows = tensor_count(x) / D;
    int acc, acc_weight, acc_bias;
    void *dx = tape_gradient(t, x, &acc), *dweight = tape_gradient(t, weight, &acc_weight);
    void *dbias = tape_gradient(t, bias, &acc_bias);
    size_t mark = tape_scratch_begin(t);
    void *scratch =
        tape_scratch(t, t->device->ops->layer_norm_scratch(rows, D, y->type, t->device->stream));
    t->device->ops->layer_norm_backward(dx, dweight, dbias, tape_output_gradient(y), x->data,
                                        saved->mean, saved->rstd, weight->data, rows, D, acc,
                                        acc_weight, acc_bias, y->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
}

tensor *layer_norm(tape *t, tensor *inp, tensor *weight, tensor *bias, double eps) {
    int64_t rows = op_rows(inp, "layer_norm inp", 1), D = inp->dim[inp->rank - 1];
    tensor_expect(weight, "layer_norm weight", 1, &D);
    tensor_expect(bias, "layer_norm bias", 1, &D);
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    dtype wide = dtype_wide(y->type);
    layer_norm_saved *saved = tape_keep(t, sizeof *saved);
    saved->mean = tape_tensor_of(t, wide, 1, &rows)->data;
    saved->rstd = tape_tensor_of(t, wide, 1, &rows)->data;
    t->device->ops->layer_norm_forward(y->data, saved->mean, saved->rstd, inp->data, weight->data,
                                       bias->data, rows, D, eps, y->type, t->device->stream);
    tape_record(t, "layer_norm", layer_norm_rule, saved, &y, 1, (tensor *[]){inp, weight, bias}, 3);
    return y;
}
