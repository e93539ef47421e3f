// Image vectors in the places of image tokens (REFERENCE 5.3): out is x, but row index[m] is y[m].
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct replace_saved {
    const int32_t *index; // (M)
    int32_t *where;       // (N): which row of y stands there, -1: x's own
    int64_t M;
} replace_saved;

// What was replaced leads nowhere:  dx = dout, zero where replaced;  dy[m] = dout[index[m]].
static void replace_rows_rule(tape *t, const tape_node *node) {
    tensor *out = node->out[0], *x = node->in[0], *y = node->in[1];
    const replace_saved *z = node->saved;
    int acc_x, acc_y;
    void *dx = tape_gradient(t, x, &acc_x), *dy = tape_gradient(t, y, &acc_y);
    t->device->ops->replace_rows_backward(dx, dy, tape_output_gradient(out), z->where, z->index,
                                          out->dim[0], z->M, out->dim[1], acc_x, acc_y, out->type,
                                          t->device->stream);
}

tensor *replace_rows(tape *t, tensor *x, tensor *y, tensor *index) {
    tensor_expect(x, "replace_rows x", 2, (int64_t[]){-1, -1});
    tensor_expect(index, "replace_rows index", 1, (int64_t[]){-1});
    tensor_expect(y, "replace_rows y", 2, (int64_t[]){index->dim[0], x->dim[1]});
    op_expect_type(x, "replace_rows x", t->device->type);
    op_expect_type(y, "replace_rows y", t->device->type);
    op_expect_type(index, "replace_rows index", DTYPE_I32);
    tensor *in[] = {x, y}, *out = tape_tensor(t, 2, x->dim);
    replace_saved *z = tape_keep(t, sizeof *z);
    *z = (replace_saved){index->data, tape_tensor_of(t, DTYPE_I32, 1, x->dim)->data, y->dim[0]};
    t->device->ops->replace_rows_forward(out->data, z->where, x->data, y->data, z->index,
                                         x->dim[0], z->M, x->dim[1], out->type, t->device->stream);
    tape_record(t, "replace_rows", replace_rows_rule, z, &out, 1, in, 2);
    return out;
}
