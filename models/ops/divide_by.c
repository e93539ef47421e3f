// y = x / t with one learnable number t for all: the temperature of a contrastive loss (Radford et
// al. 2021; BLIP-2 divides by it as it stands). x and t are wide, whatever the device's type.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// dx_i = dy_i / t,   dt = -(sum of dy_i x_i) / t^2 = -(sum of dy_i y_i) / t.
static void divide_by_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0], *divisor = node->in[1];
    int acc, acc_divisor;
    void *dx = tape_gradient(t, x, &acc), *ddivisor = tape_gradient(t, divisor, &acc_divisor);
    t->device->ops->divide_by_backward(dx, ddivisor, tape_output_gradient(y), y->data,
                                       divisor->data, tensor_count(y), acc, acc_divisor,
                                       t->device->type, t->device->stream);
}

tensor *divide_by(tape *t, tensor *inp, tensor *divisor) {
    dtype wide = dtype_wide(t->device->type);
    tensor_expect(divisor, "divide_by divisor", divisor->rank > 0, (int64_t[]){1});
    op_expect_type(inp, "divide_by inp", wide);
    op_expect_type(divisor, "divide_by divisor", wide);
    tensor *y = tape_tensor_of(t, wide, inp->rank, inp->dim);
    t->device->ops->divide_by_forward(y->data, inp->data, divisor->data, tensor_count(y),
                                      t->device->type, t->device->stream);
    tape_record(t, "divide_by", divide_by_rule, NULL, &y, 1, (tensor *[]){inp, divisor}, 2);
    return y;
}
