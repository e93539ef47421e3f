// Convolutions together with the batch norms around them. In a residual network's block (He et al. 2015) every
// convolution reads what a norm and a ReLU made, and every norm wants sums over what a convolution made; a device that
// does both in one sweep moves an image half as often, and what lies between norm and convolution need not be kept.
// Where the device has no such call for these sizes its parts are run: the same numbers as batch_norm and conv2d.
#include "models/ops/batch_norm.h"
#include "models/ops/conv2d.h"
#include "models/ops/op_checks.h"

// The scratch of a fused call; 0 if there is none.
static size_t fused_scratch(tape *t, fused_conv what, const window_shape *z) {
    const struct op_kernels *ops = t->device->ops;
    if (!z->B || !ops->conv2d_fused_scratch) return 0;
    return ops->conv2d_fused_scratch(what, z, t->device->type, t->device->stream);
}

static size_t plain_scratch(tape *t, const window_shape *z) {
    return z->B ? t->device->ops->conv2d_scratch(z, t->device->type, t->device->stream) : 0;
}

static tensor *output(tape *t, const window_shape *z) {
    return tape_tensor(t, 4, (int64_t[]){z->B, z->OH, z->OW, z->O});
}

// --- convolution, sums -----------------------------------------------------------------------------------
static void forward(tape *t, tensor *y, const void *inp, const tensor *weight, const window_shape *z) {
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, plain_scratch(t, z));
    if (z->B)
        t->device->ops->conv2d_forward(y->data, inp, weight->data, NULL, z, y->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
}

static void own_sums(tape *t, tensor *sums, const tensor *y, const window_shape *z) {
    t->device->ops->batch_norm_sums(sums->data, y->data, z->B * z->OH * z->OW, z->O, y->type, t->device->stream);
}

static void over_ranks(tape *t, tensor *sums) {
    t->comm->all_reduce_sum(t->comm, sums->data, tensor_count(sums), DTYPE_F64, t->device);
}

tensor *conv2d_sums(tape *t, tensor *inp, tensor *weight, int stride, int pad, tensor **sums) {
    conv2d_saved *saved = tape_keep(t, sizeof *saved);
    const window_shape z = conv2d_shape(inp, weight, stride, pad);
    *saved = (conv2d_saved){z, plain_scratch(t, &z)};
    tensor *y = output(t, &z);
    *sums = batch_norm_sums_tensor(t, z.O);
    const size_t bytes = fused_scratch(t, FUSED_CONV_SUMS, &z), mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, bytes);
    if (bytes) {
        t->device->ops->conv2d_sums(y->data, (*sums)->data, inp->data, weight->data, &z, y->type, scratch,
                                    t->device->stream);
    } else {
        forward(t, y, inp->data, weight, &z);
        own_sums(t, *sums, y, &z);
    }
    tape_scratch_end(t, mark);
    over_ranks(t, *sums);
    tape_record(t, "conv2d_sums", conv2d_rule, saved, &y, 1, (tensor *[]){inp, weight, NULL}, 3);
    return y;
}

// --- norm, ReLU, convolution, sums -------------------------------------------------------------------------
typedef struct norm_conv2d_saved {
    window_shape z;
    batch_norm_saved norm;
} norm_conv2d_saved;

enum { CONV_WEIGHT = BN_INPUTS, INPUTS }; // of the recorded call: behind batch norm's

// What the convolution sees of X, in scratch: NULL of a batch without rows.
static void *seen_image(tape *t, const tensor *x, const batch_norm_saved *n) {
    void *seen = tape_scratch(t, tensor_bytes(x));
    t->device->ops->batch_norm_apply(seen, x->data, NULL, n->norm.mean, n->norm.rstd, n->norm.weight, n->norm.bias,
                                     n->rows, n->C, 1, x->type, t->device->stream);
    return seen;
}

// FUSED: the scratch of the fused call, which makes what the convolution sees itself; 0: SEEN is that.
static void weight_gradient(tape *t, const norm_conv2d_saved *saved, tensor *weight, const tensor *x,
                            const void *seen, size_t fused, const void *dy) {
    int acc;
    void *dweight = tape_weight_gradient(t, weight, &acc);
    if (!dweight) return;
    const window_shape *z = &saved->z;
    if (!z->B) {
        op_zero_gradient(t, weight, dweight, acc);
        return;
    }
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, fused ? fused : plain_scratch(t, z));
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    if (fused)
        ops->norm_conv2d_backward_weight(dweight, dy, x->data, &saved->norm.norm, z, acc, x->type, scratch,
                                         t->device->stream);
    else
        ops->conv2d_backward_weight(dweight, NULL, dy, seen, z, acc, 0, x->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
}

static void norm_gradients(tape *t, const norm_conv2d_saved *saved, tensor *const *in, const void *seen, size_t fused,
                           const void *dy) {
    const window_shape *z = &saved->z;
    const tensor *x = in[BN_X];
    size_t mark = tape_scratch_begin(t);
    void *dseen = tape_scratch(t, tensor_bytes(x));
    double *sums = fused ? tape_scratch(t, (size_t)batch_norm_sums_length(z->C) * sizeof *sums) : NULL;
    const size_t inner = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, fused ? fused : plain_scratch(t, z));
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    const void *weight = in[CONV_WEIGHT]->data;
    stream *s = t->device->stream;
    if (fused)
        ops->norm_conv2d_backward_input(dseen, sums, dy, weight, x->data, &saved->norm.norm, z, x->type, scratch, s);
    else if (z->B)
        ops->conv2d_backward_input(dseen, dy, weight, z, 0, x->type, scratch, s);
    tape_scratch_end(t, inner);
    batch_norm_backward(t, &saved->norm, in, dseen, seen, sums, !fused);
    tape_scratch_end(t, mark);
}

// With y = conv2d(seen, w) and seen = relu(batch_norm(x)) the rules are those of the two, one behind the other.
static void norm_conv2d_rule(tape *t, const tape_node *node) {
    const norm_conv2d_saved *saved = node->saved;
    const void *dy = tape_output_gradient(node->out[0]);
    tensor *const *in = node->in;
    const size_t fused_weight = fused_scratch(t, FUSED_NORM_BACKWARD_WEIGHT, &saved->z);
    const size_t fused_input = fused_scratch(t, FUSED_NORM_BACKWARD_INPUT, &saved->z);
    const bool want_norm = in[BN_X]->grad || in[BN_WEIGHT]->grad || in[BN_BIAS]->grad;
    size_t mark = tape_scratch_begin(t);
    const void *seen = fused_weight && fused_input ? NULL : seen_image(t, in[BN_X], &saved->norm);
    weight_gradient(t, saved, in[CONV_WEIGHT], in[BN_X], seen, fused_weight, dy);
    if (want_norm) norm_gradients(t, saved, in, seen, fused_input, dy);
    tape_scratch_end(t, mark);
}

tensor *norm_conv2d(tape *t, tensor *inp, batch_norm_args a, tensor *weight, int stride, int pad, tensor **sums) {
    if (!a.batch || !a.relu || a.residual)
        die("norm_conv2d: takes a batch's statistics and a ReLU, no residual");
    norm_conv2d_saved *saved = tape_keep(t, sizeof *saved);
    const window_shape z = conv2d_shape(inp, weight, stride, pad);
    tensor *y = output(t, &z);
    *sums = batch_norm_sums_tensor(t, z.O);
    *saved = (norm_conv2d_saved){z, batch_norm_begin(t, "norm_conv2d", inp, &a)};
    const size_t bytes = fused_scratch(t, FUSED_NORM_CONV_SUMS, &z), mark = tape_scratch_begin(t);
    if (bytes) {
        void *scratch = tape_scratch(t, bytes);
        t->device->ops->norm_conv2d_sums(y->data, (*sums)->data, inp->data, &saved->norm.norm, weight->data, &z,
                                         y->type, scratch, t->device->stream);
    } else {
        forward(t, y, seen_image(t, inp, &saved->norm), weight, &z);
        own_sums(t, *sums, y, &z);
    }
    tape_scratch_end(t, mark);
    over_ranks(t, *sums);
    tape_record(t, "norm_conv2d", norm_conv2d_rule, saved, &y, 1,
                (tensor *[]){inp, a.weight, a.bias, NULL, weight}, INPUTS);
    return y;
}

// --- convolution, norm, ReLU -------------------------------------------------------------------------------
// Without a backward pass the norm may be taken in the convolution's own place. Training has one somewhere, also where a
// region's first run records nothing.
tensor *conv2d_norm_relu(tape *t, tensor *inp, tensor *weight, batch_norm_args a, int stride, int pad) {
    if (!a.relu || a.residual) die("conv2d_norm_relu: takes a ReLU and no residual");
    if (a.batch || t->training || tape_wants(t, (tensor *[]){inp, weight, a.weight, a.bias}, 4))
        return batch_norm(t, conv2d(t, inp, weight, NULL, stride, pad), a);
    const window_shape z = conv2d_shape(inp, weight, stride, pad);
    tensor *y = output(t, &z);
    const batch_norm_saved n = batch_norm_begin(t, "conv2d_norm_relu", y, &a);
    const size_t bytes = fused_scratch(t, FUSED_CONV_NORM_RELU, &z), mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, bytes);
    if (bytes) {
        t->device->ops->conv2d_norm_relu(y->data, inp->data, weight->data, &n.norm, &z, y->type, scratch,
                                         t->device->stream);
    } else {
        forward(t, y, inp->data, weight, &z);
        t->device->ops->batch_norm_apply(y->data, y->data, NULL, n.norm.mean, n.norm.rstd, n.norm.weight,
                                         n.norm.bias, n.rows, n.C, 1, y->type, t->device->stream);
    }
    tape_scratch_end(t, mark);
    return y;
}
