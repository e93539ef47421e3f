// Rows of length 1, as torch's normalize: y = x / max(|x|, 1e-12) with |x| = sqrt(sum of x_i^2).
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// With n = |x| where that is the larger of the two: dn/dx_i = x_i / n, so dy_j/dx_i = [i = j] / n -
// x_i x_j / n^3 and
//   dx_i = (dy_i - x_i (x . dy) / n^2) / n;   elsewhere y is linear, and dx_i = dy_i / 1e-12.
static void l2_normalise_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int64_t D = x->dim[x->rank - 1];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->l2_normalise_backward(dx, tape_output_gradient(y), x->data, node->saved,
                                          D ? tensor_count(x) / D : 0, D, acc, y->type,
                                          t->device->stream);
}

tensor *l2_normalise(tape *t, tensor *inp) {
    int64_t rows = op_rows(inp, "l2_normalise inp", 1), D = inp->dim[inp->rank - 1];
    op_expect_type(inp, "l2_normalise inp", t->device->type);
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    void *norm = tape_tensor_of(t, dtype_wide(y->type), 1, &rows)->data; // (rows) wide
    t->device->ops->l2_normalise_forward(y->data, norm, inp->data, rows, D, y->type,
                                         t->device->stream);
    tape_record(t, "l2_normalise", l2_normalise_rule, norm, &y, 1, &inp, 1);
    return y;
}
