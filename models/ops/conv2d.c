// Two-dimensional convolution (cross-correlation, as torch.nn.functional.conv2d) of NHWC images
// with OHWI weights: y[b,oy,ox,o] = sum over ky, kx, c of x[b, oy s + ky - p, ox s + kx - p, c]
// w[o,ky,kx,c] + bias[o], x being 0 outside. No groups, no dilation: nobody asks for them.
#include "models/ops/conv2d.h"
#include "models/ops/op_checks.h"

// Every product x[b,iy,ix,c] w[o,ky,kx,c] goes into the one output with oy s + ky - p = iy and
// ox s + kx - p = ix, so its factors' gradients gather from there:
//   dx[b,iy,ix,c]   = sum over o, ky, kx and the oy, ox that fit of dy[b,oy,ox,o] w[o,ky,kx,c]
//   dw[o,ky,kx,c]   = sum over b, oy, ox of dy[b,oy,ox,o] x[b, oy s + ky - p, ox s + kx - p, c]
//   dbias[o]        = sum over b, oy, ox of dy[b,oy,ox,o].
void conv2d_rule(tape *t, const tape_node *node) {
    const conv2d_saved *saved = node->saved;
    tensor *y = node->out[0], *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
    stream *s = t->device->stream;
    const void *dy = tape_output_gradient(y);
    int acc_x, acc_weight, acc_bias;
    void *dx = tape_gradient(t, x, &acc_x);
    void *dweight = tape_weight_gradient(t, weight, &acc_weight);
    void *dbias = tape_gradient(t, bias, &acc_bias);
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, saved->scratch);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    if (saved->z.B == 0) {
        op_zero_gradient(t, weight, dweight, acc_weight);
        op_zero_gradient(t, bias, dbias, acc_bias);
    } else if (dweight || dbias)
        ops->conv2d_backward_weight(dweight, dbias, dy, x->data, &saved->z, acc_weight, acc_bias,
                                    y->type, scratch, s);
    if (dx && saved->z.B) ops->conv2d_backward_input(dx, dy, weight->data, &saved->z, acc_x, y->type, scratch, s);
    tape_scratch_end(t, mark);
}

window_shape conv2d_shape(const tensor *inp, const tensor *weight, int stride, int pad) {
    tensor_expect(inp, "conv2d inp", 4, (int64_t[]){-1, -1, -1, -1});
    int64_t K = weight->rank == 4 ? weight->dim[1] : -1;
    tensor_expect(weight, "conv2d weight", 4, (int64_t[]){-1, K, K, inp->dim[3]});
    window_shape z = {
        .B = inp->dim[0],
        .H = inp->dim[1],
        .W = inp->dim[2],
        .C = inp->dim[3],
        .O = weight->dim[0],
        .K = K,
        .stride = stride,
        .pad = pad,
    };
    if (stride < 1 || pad < 0 || z.H + 2 * pad < K || z.W + 2 * pad < K)
        die("conv2d: window %lld, stride %d, padding %d on an image of %lld by %lld", (long long)K,
            stride, pad, (long long)z.H, (long long)z.W);
    z.OH = (z.H + 2 * pad - K) / stride + 1;
    z.OW = (z.W + 2 * pad - K) / stride + 1;
    return z;
}

tensor *conv2d(tape *t, tensor *inp, tensor *weight, tensor *bias, int stride, int pad) {
    conv2d_saved *saved = tape_keep(t, sizeof *saved);
    saved->z = conv2d_shape(inp, weight, stride, pad);
    const window_shape *z = &saved->z;
    if (bias) tensor_expect(bias, "conv2d bias", 1, &z->O);
    tensor *y = tape_tensor(t, 4, (int64_t[]){z->B, z->OH, z->OW, z->O});
    saved->scratch = z->B ? t->device->ops->conv2d_scratch(z, y->type, t->device->stream) : 0;
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, saved->scratch);
    if (z->B)
        t->device->ops->conv2d_forward(y->data, inp->data, weight->data, bias ? bias->data : NULL, z,
                                       y->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
    tape_record(t, "conv2d", conv2d_rule, saved, &y, 1, (tensor *[]){inp, weight, bias}, 3);
    return y;
}
