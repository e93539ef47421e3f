// y = a + b, equal shapes and types (losses are wide).
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// da = dy, db = dy. One after the other, so that add(x, x) gets both.
static void add_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0];
    for (int i = 0; i < node->ins; i++) {
        int acc;
        void *dx = tape_gradient(t, node->in[i], &acc);
        if (dx)
            t->device->ops->add_backward(dx, tape_output_gradient(y), tensor_count(y), acc, y->type,
                                         t->device->stream);
    }
}

tensor *add(tape *t, tensor *a, tensor *b) {
    tensor_expect(b, "add b", a->rank, a->dim);
    op_expect_type(b, "add b", a->type);
    tensor *y = tape_tensor_of(t, a->type, a->rank, a->dim);
    t->device->ops->add_forward(y->data, a->data, b->data, tensor_count(y), y->type,
                                t->device->stream);
    tape_record(t, "add", add_rule, NULL, &y, 1, (tensor *[]){a, b}, 2);
    return y;
}
