// The weight of a convolution whose C input channels are equal, as one over a single channel: where
// x[..., c] = x0 for all c, sum_c x[..., c] w[..., c] = x0 sum_c w[..., c]. The published encoder
// repeats a grey image three times; its stem then reads a third of the input.
#include "models/ops/ops.h"

// y[r] = sum_c x[r,c], so dx[r,c] = dy[r]: by the chain rule exactly the gradient that each
// channel's weight gets from the repeated image.
static void sum_channels_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_weight_gradient(t, x, &acc);
    t->device->ops->sum_channels_backward(dx, tape_output_gradient(y), tensor_count(y), x->dim[3],
                                          acc, y->grad->type, t->device->stream);
}

tensor *sum_channels(tape *t, tensor *weight) {
    tensor_expect(weight, "sum_channels weight", 4, (int64_t[]){-1, -1, -1, -1});
    const int64_t *d = weight->dim;
    tensor *y = tape_tensor(t, 4, (int64_t[]){d[0], d[1], d[2], 1});
    t->device->ops->sum_channels_forward(y->data, weight->data, tensor_count(y), d[3], y->type,
                                         t->device->stream);
    tape_record(t, "sum_channels", sum_channels_rule, NULL, &y, 1, &weight, 1);
    if (y->grad) y->grad->type = dtype_wide(y->type); // it is a weight, whose gradient is wide
    return y;
}
