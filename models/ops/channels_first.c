// (B, ..., C) -> (B, C, ...): from the order images have here to the one PyTorch flattens.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// dx = dy with the two turned back.
static void channels_first_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int64_t B = x->dim[0], C = x->dim[x->rank - 1];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->transpose(dx, tape_output_gradient(y), B, C, op_tokens(x), acc, y->type,
                              t->device->stream);
}

tensor *channels_first(tape *t, tensor *inp) {
    int64_t dim[TENSOR_MAX_RANK];
    op_rows(inp, "channels_first inp", 2);
    int last = inp->rank - 1;
    dim[0] = inp->dim[0];
    dim[1] = inp->dim[last];
    for (int i = 1; i < last; i++) dim[i + 1] = inp->dim[i];
    tensor *y = tape_tensor(t, inp->rank, dim);
    t->device->ops->transpose(y->data, inp->data, dim[0], op_tokens(inp), dim[1], 0, y->type,
                              t->device->stream);
    tape_record(t, "channels_first", channels_first_rule, NULL, &y, 1, &inp, 1);
    return y;
}
