// SwiGLU (Shazeer 2020, "GLU variants improve transformer"): y = silu(a) b with x = [a, b], the gate's
// half first, silu(a) = a / (1 + exp(-a)).
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// With s = 1 / (1 + exp(-a)):  da = dy b s (1 + a (1 - s)),   db = dy a s.
static void swiglu_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->swiglu_backward(dx, tape_output_gradient(y), x->data, y->dim[0], y->dim[1], acc,
                                    y->type, t->device->stream);
}

tensor *swiglu(tape *t, tensor *inp) {
    tensor_expect(inp, "swiglu inp", 2, (int64_t[]){-1, -1});
    op_expect_type(inp, "swiglu inp", t->device->type);
    if (inp->dim[1] % 2) die("swiglu: rows of %lld numbers have no halves", (long long)inp->dim[1]);
    tensor *y = tape_tensor(t, 2, (int64_t[]){inp->dim[0], inp->dim[1] / 2});
    t->device->ops->swiglu_forward(y->data, inp->data, y->dim[0], y->dim[1], y->type,
                                   t->device->stream);
    tape_record(t, "swiglu", swiglu_rule, NULL, &y, 1, &inp, 1);
    return y;
}
