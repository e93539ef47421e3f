// GELU, exact (Hendrycks and Gimpel 2016): y = x P(x), P(x) = (1 + erf(x / sqrt 2)) / 2.
#include "models/ops/ops.h"

// dy/dx = P(x) + x p(x), with the normal density p(x) = P'(x) = exp(-x^2 / 2) / sqrt(2 pi).
static void gelu_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->gelu_backward(dx, tape_output_gradient(y), x->data, tensor_count(x), acc,
                                  y->type, t->device->stream);
}

tensor *gelu(tape *t, tensor *inp) {
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    t->device->ops->gelu_forward(y->data, inp->data, tensor_count(y), y->type, t->device->stream);
    tape_record(t, "gelu", gelu_rule, NULL, &y, 1, &inp, 1);
    return y;
}
