// Batch normalisation (Ioffe and Szegedy 2015) of the last dimension, as torch.nn.BatchNorm2d, with
// the residual sum and the ReLU of a residual block (He et al. 2015) in the same sweep:
//   y = relu(xhat w + b + residual),  xhat = (x - mean) rstd,  rstd = 1 / sqrt(var + eps).
// The two statistics are sums over the rows of all ranks (synchronised batch norm): each rank sums
// its own in double, with their number, and one all-reduce adds them.
#include "models/ops/ops.h"

// Inputs of the recorded call.
enum { X, WEIGHT, BIAS, RESIDUAL, INPUTS };

typedef struct batch_norm_saved {
    const void *mean, *rstd; // wide (C)
    int64_t rows, C;
    bool batch, relu;
} batch_norm_saved;

// Numbers in a sum over rows: two per channel and the rows, which differ between ranks where a batch does
// not divide.
static int64_t sums_length(int64_t C) {
    return 2 * C + 1;
}

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
static void batch_norm_rule(tape *t, const tape_node *node) {
    const batch_norm_saved *n = node->saved;
    tensor *y = node->out[0], *const *in = node->in;
    const void *dy = tape_output_gradient(y), *x = in[X]->data;
    int acc[INPUTS];
    void *d[INPUTS];
    for (int i = 0; i < INPUTS; i++) d[i] = tape_gradient(t, in[i], &acc[i]);
    bool want_sums = d[WEIGHT] || d[BIAS] || (d[X] && n->batch);
    size_t mark = tape_scratch_begin(t);
    double *sums = tape_scratch(t, want_sums ? (size_t)sums_length(n->C) * sizeof *sums : 0);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    stream *s = t->device->stream;
    if (want_sums)
        ops->batch_norm_backward_sums(sums, dy, y->data, x, n->mean, n->rstd, n->rows, n->C,
                                      n->relu, y->type, s);
    if (d[WEIGHT] || d[BIAS])
        ops->batch_norm_backward_params(d[WEIGHT], d[BIAS], sums, n->C, acc[WEIGHT], acc[BIAS],
                                        y->type, s);
    if (n->batch && want_sums)
        t->comm->all_reduce_sum(t->comm, sums, sums_length(n->C), DTYPE_F64, t->device);
    if (d[X] || d[RESIDUAL])
        ops->batch_norm_backward_apply(d[X], d[RESIDUAL], dy, y->data, x, n->mean, n->rstd,
                                       in[WEIGHT]->data, n->batch ? sums : NULL, n->rows, n->C,
                                       n->relu, acc[X], acc[RESIDUAL], y->type, s);
    tape_scratch_end(t, mark);
}

// This batch's mean and 1 / standard deviation, and the step of the running statistics, unless a
// region is being run again and has taken it already.
static void batch_statistics(tape *t, tensor *inp, const batch_norm_args *a, tensor *mean,
                             tensor *rstd, int64_t rows) {
    int64_t C = mean->dim[0];
    size_t mark = tape_scratch_begin(t);
    double *sums = tape_scratch(t, (size_t)sums_length(C) * sizeof *sums);
    t->device->ops->batch_norm_sums(sums, inp->data, rows, C, inp->type, t->device->stream);
    t->comm->all_reduce_sum(t->comm, sums, sums_length(C), DTYPE_F64, t->device);
    t->device->ops->batch_norm_statistics(
        mean->data, rstd->data, t->replaying ? NULL : a->running_mean->data,
        t->replaying ? NULL : a->running_var->data, sums, a->eps, a->momentum, C, inp->type,
        t->device->stream);
    tape_scratch_end(t, mark);
}

static void check_arguments(const tensor *inp, const batch_norm_args *a) {
    if (inp->rank < 2) die("batch_norm inp: has rank %d, expected (..., C)", inp->rank);
    const int64_t *C = &inp->dim[inp->rank - 1];
    if (*C < 1) die("batch_norm inp: has no channels");
    tensor_expect(a->weight, "batch_norm weight", 1, C);
    tensor_expect(a->bias, "batch_norm bias", 1, C);
    tensor_expect(a->running_mean, "batch_norm running_mean", 1, C);
    tensor_expect(a->running_var, "batch_norm running_var", 1, C);
    if (a->residual) tensor_expect(a->residual, "batch_norm residual", inp->rank, inp->dim);
}

tensor *batch_norm(tape *t, tensor *inp, batch_norm_args a) {
    check_arguments(inp, &a);
    int64_t C = inp->dim[inp->rank - 1], rows = tensor_count(inp) / C;
    tensor *y = tape_tensor(t, inp->rank, inp->dim), *mean = a.running_mean;
    if (a.batch) mean = tape_tensor_of(t, dtype_wide(y->type), 1, &C);
    tensor *rstd = tape_tensor_of(t, dtype_wide(y->type), 1, &C);
    if (a.batch)
        batch_statistics(t, inp, &a, mean, rstd, rows);
    else
        t->device->ops->batch_norm_rstd(rstd->data, a.running_var->data, a.eps, C, y->type,
                                        t->device->stream);
    t->device->ops->batch_norm_apply(y->data, inp->data, a.residual ? a.residual->data : NULL,
                                     mean->data, rstd->data, a.weight->data, a.bias->data, rows, C,
                                     a.relu, y->type, t->device->stream);
    batch_norm_saved *n = tape_keep(t, sizeof *n);
    *n = (batch_norm_saved){mean->data, rstd->data, rows, C, a.batch, a.relu};
    tape_record(t, "batch_norm", batch_norm_rule, n, &y, 1,
                (tensor *[]){inp, a.weight, a.bias, a.residual}, INPUTS);
    return y;
}
