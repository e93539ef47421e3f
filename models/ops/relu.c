// ReLU: y = max(x, 0).
#include "models/ops/ops.h"

// dx = dy where y > 0, else 0. The output tells as much as the input would, and it is needed
// anyway.
static void relu_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->relu_backward(dx, tape_output_gradient(y), y->data, tensor_count(y), acc,
                                  y->type, t->device->stream);
}

tensor *relu(tape *t, tensor *inp) {
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    t->device->ops->relu_forward(y->data, inp->data, tensor_count(y), y->type, t->device->stream);
    tape_record(t, "relu", relu_rule, NULL, &y, 1, &inp, 1);
    return y;
}
