// Largest and mean values of square windows over NHWC images, as torch's max_pool2d and avg_pool2d
// (floor mode). Padding of the maximum never wins; the mean has no padding.
#include "models/ops/ops.h"

static window_shape pool_shape(const char *op, const tensor *inp, int k, int stride, int pad) {
    tensor_expect(inp, op, 4, (int64_t[]){-1, -1, -1, -1});
    const int64_t *d = inp->dim;
    // Half a window of padding at most, so that every window holds a pixel (torch's rule).
    if (k < 1 || k > 15 || stride < 1 || pad < 0 || pad > k / 2 || d[1] + 2 * pad < k ||
        d[2] + 2 * pad < k)
        die("%s: window %d, stride %d, padding %d on an image of %lld by %lld", op, k, stride, pad,
            (long long)d[1], (long long)d[2]);
    return (window_shape){.B = d[0],
                          .H = d[1],
                          .W = d[2],
                          .C = d[3],
                          .O = d[3],
                          .OH = (d[1] + 2 * pad - k) / stride + 1,
                          .OW = (d[2] + 2 * pad - k) / stride + 1,
                          .K = k,
                          .stride = stride,
                          .pad = pad};
}

typedef struct max_pool2d_saved {
    window_shape z;
    uint8_t *index; // (B, OH, OW, C) on the device
} max_pool2d_saved;

// y = x at the winner, so dx[winner] takes dy; windows overlap, so a pixel adds up all it has won.
// Of equal values the first in reading order wins, as in torch.
static void max_pool2d_rule(tape *t, const tape_node *node) {
    const max_pool2d_saved *saved = node->saved;
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->max_pool2d_backward(dx, tape_output_gradient(y), saved->index, &saved->z, acc,
                                        y->type, t->device->stream);
}

tensor *max_pool2d(tape *t, tensor *inp, int k, int stride, int pad) {
    max_pool2d_saved *saved = tape_keep(t, sizeof *saved);
    saved->z = pool_shape("max_pool2d inp", inp, k, stride, pad);
    const int64_t dim[] = {inp->dim[0], saved->z.OH, saved->z.OW, inp->dim[3]};
    tensor *y = tape_tensor(t, 4, dim), *index = tape_tensor_of(t, DTYPE_U8, 4, dim);
    saved->index = index->data;
    t->device->ops->max_pool2d_forward(y->data, saved->index, inp->data, &saved->z, y->type,
                                       t->device->stream);
    tape_record(t, "max_pool2d", max_pool2d_rule, saved, &y, 1, &inp, 1);
    return y;
}

// y = sum of x over the window / K^2, so each pixel takes dy / K^2 from every window it is in.
static void avg_pool2d_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->avg_pool2d_backward(dx, tape_output_gradient(y), node->saved, acc, y->type,
                                        t->device->stream);
}

tensor *avg_pool2d(tape *t, tensor *inp, int k, int stride) {
    window_shape *z = tape_keep(t, sizeof *z);
    *z = pool_shape("avg_pool2d inp", inp, k, stride, 0);
    tensor *y = tape_tensor(t, 4, (int64_t[]){z->B, z->OH, z->OW, z->C});
    t->device->ops->avg_pool2d_forward(y->data, inp->data, z, y->type, t->device->stream);
    tape_record(t, "avg_pool2d", avg_pool2d_rule, z, &y, 1, &inp, 1);
    return y;
}
