// Batch normalisation (Ioffe and Szegedy 2015) of the last dimension, as torch.nn.BatchNorm2d, with
// the residual sum and the ReLU of a residual block (He et al. 2015) in the same sweep:
//   y = relu(xhat w + b + residual),  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps).
// The two statistics are sums over the rows of all ranks (synchronised batch norm): each rank sums
// its own in double, with their number, and one all-reduce adds them.
#include "models/ops/batch_norm.h"

#include <stdio.h>

// dz is dy where y > 0 (with ReLU, else dy): the gradient before the ReLU. Then, per channel,
//   dresidual = dz,  db = sum dz,  dw = sum dz xhat.
// With fixed statistics dx = rstd w dz. With those of the batch of n rows, xhat depends on x also
// through mean = sum x / n and var = sum (x - mean)^2 / n. With g = w dz = dL/dxhat:
//   dL/dmean = -rstd sum g               (var's own derivative by the mean is 0)
//   dL/dvar  = sum g (x - mean) (-1/2) rstd^3 = -1/2 rstd^2 sum g xhat
//   dx = g rstd + dL/dmean / n + dL/dvar 2 (x - mean) / n
//      = rstd w (dz - (sum dz + xhat sum dz xhat) / n).
// Sums in dx run over all ranks, those of dw and db over this rank alone: parameters' gradients are
// summed over the ranks by the optimizer.
void batch_norm_backward(tape *t, const batch_norm_saved *n, tensor *const *in, const void *dy, const void *y,
                         double *sums, bool relu) {
    const void *x = in[BN_X]->data;
    int acc[BN_INPUTS];
    void *d[BN_INPUTS];
    for (int i = 0; i < BN_INPUTS; i++) d[i] = tape_gradient(t, in[i], &acc[i]);
    const int64_t length = batch_norm_sums_length(n->C);
    const bool want_sums = d[BN_WEIGHT] || d[BN_BIAS] || (d[BN_X] && n->batch), known = sums;
    size_t mark = tape_scratch_begin(t);
    if (!known) sums = tape_scratch(t, want_sums ? (size_t)length * sizeof *sums : 0);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    stream *s = t->device->stream;
    const dtype type = in[BN_X]->type;
    if (want_sums && !known)
        ops->batch_norm_backward_sums(sums, dy, y, x, n->norm.mean, n->norm.rstd, n->rows, n->C, relu, type, s);
    if (d[BN_WEIGHT] || d[BN_BIAS])
        ops->batch_norm_backward_params(d[BN_WEIGHT], d[BN_BIAS], sums, n->C, acc[BN_WEIGHT], acc[BN_BIAS], type, s);
    if (n->batch && want_sums) t->comm->all_reduce_sum(t->comm, sums, length, DTYPE_F64, t->device);
    if (d[BN_X] || d[BN_RESIDUAL])
        ops->batch_norm_backward_apply(d[BN_X], d[BN_RESIDUAL], dy, y, x, n->norm.mean, n->norm.rstd, n->norm.weight,
                                       n->batch ? sums : NULL, n->rows, n->C, relu, acc[BN_X], acc[BN_RESIDUAL],
                                       type, s);
    tape_scratch_end(t, mark);
}

static void batch_norm_rule(tape *t, const tape_node *node) {
    const batch_norm_saved *n = node->saved;
    const tensor *y = node->out[0];
    batch_norm_backward(t, n, node->in, tape_output_gradient(y), y->data, NULL, n->relu);
}

tensor *batch_norm_sums_tensor(tape *t, int64_t C) {
    return tape_tensor_of(t, DTYPE_F64, 1, (int64_t[]){batch_norm_sums_length(C)});
}

// This batch's mean and 1 / standard deviation, and the step of the running statistics, unless a
// region is being run again and has taken it already.
static void batch_statistics(tape *t, const tensor *inp, const batch_norm_args *a, tensor *mean, tensor *rstd,
                             int64_t rows) {
    const int64_t C = mean->dim[0], length = batch_norm_sums_length(C);
    size_t mark = tape_scratch_begin(t);
    double *sums = a->sums ? a->sums->data : tape_scratch(t, (size_t)length * sizeof *sums);
    if (!a->sums) {
        t->device->ops->batch_norm_sums(sums, inp->data, rows, C, inp->type, t->device->stream);
        t->comm->all_reduce_sum(t->comm, sums, length, DTYPE_F64, t->device);
    }
    t->device->ops->batch_norm_statistics(
        mean->data, rstd->data, t->replaying ? NULL : a->running_mean->data,
        t->replaying ? NULL : a->running_var->data, sums, a->eps, a->momentum, C, inp->type,
        t->device->stream);
    tape_scratch_end(t, mark);
}

static void expect_channels(const char *op, const char *name, const tensor *x, int64_t C) {
    char who[64];
    snprintf(who, sizeof who, "%s %s", op, name);
    tensor_expect(x, who, 1, &C);
}

static void check_arguments(const char *op, const tensor *inp, const batch_norm_args *a) {
    if (inp->rank < 2) die("%s inp: has rank %d, expected (..., C)", op, inp->rank);
    const int64_t C = inp->dim[inp->rank - 1];
    if (C < 1) die("%s inp: has no channels", op);
    expect_channels(op, "weight", a->weight, C);
    expect_channels(op, "bias", a->bias, C);
    expect_channels(op, "running_mean", a->running_mean, C);
    expect_channels(op, "running_var", a->running_var, C);
    if (a->sums) expect_channels(op, "sums", a->sums, batch_norm_sums_length(C));
}

batch_norm_saved batch_norm_begin(tape *t, const char *op, const tensor *inp, const batch_norm_args *a) {
    check_arguments(op, inp, a);
    const int64_t C = inp->dim[inp->rank - 1], rows = tensor_count(inp) / C;
    const dtype wide = dtype_wide(inp->type);
    tensor *mean = a->batch ? tape_tensor_of(t, wide, 1, &C) : a->running_mean;
    tensor *rstd = tape_tensor_of(t, wide, 1, &C);
    if (a->batch)
        batch_statistics(t, inp, a, mean, rstd, rows);
    else
        t->device->ops->batch_norm_rstd(rstd->data, a->running_var->data, a->eps, C, inp->type, t->device->stream);
    const channel_norm norm = {mean->data, rstd->data, a->weight->data, a->bias->data};
    return (batch_norm_saved){norm, rows, C, a->batch, a->relu};
}

tensor *batch_norm(tape *t, tensor *inp, batch_norm_args a) {
    if (a.residual) tensor_expect(a.residual, "batch_norm residual", inp->rank, inp->dim);
    batch_norm_saved *n = tape_keep(t, sizeof *n);
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    *n = batch_norm_begin(t, "batch_norm", inp, &a);
    t->device->ops->batch_norm_apply(y->data, inp->data, a.residual ? a.residual->data : NULL, n->norm.mean,
                                     n->norm.rstd, n->norm.weight, n->norm.bias, n->rows, n->C, a.relu, y->type,
                                     t->device->stream);
    tape_record(t, "batch_norm", batch_norm_rule, n, &y, 1, (tensor *[]){inp, a.weight, a.bias, a.residual},
                BN_INPUTS);
    return y;
}
