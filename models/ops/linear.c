// y = x W^T + b, as torch.nn.Linear: x (..., K), W (N, K), b (N) or none.
#include "models/ops/linear_op.h"
#include "models/ops/op_checks.h"

#include <stdio.h>

static size_t scratch_of(tape *t, const linear_size *z, const tensor *weight, dtype type) {
    const struct op_kernels *ops = t->device->ops;
    if (z->M == 0) return 0;
    if (weight->quantised)
        return ops->linear_quantised_scratch(weight->quantised, z->M, z->N, z->K, type,
                                             t->device->stream);
    return ops->linear_scratch(z->M, z->N, z->K, type, t->device->stream);
}

// A quantised weight (struct quantised in core/tensor.h) is frozen: x alone gets a gradient.
void linear_compute(tape *t, linear_size *z, tensor *y, const tensor *x, const tensor *weight,
                    const tensor *bias) {
    const int64_t N = weight->dim[0], K = weight->dim[1];
    if (weight->quantised && weight->grad) die("linear: a quantised weight cannot train");
    *z = (linear_size){.M = K ? tensor_count(x) / K : 0, .N = N, .K = K};
    z->scratch = scratch_of(t, z, weight, y->type);
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, z->scratch);
    const struct op_kernels *ops = t->device->ops;
    const void *b = bias ? bias->data : NULL;
    if (z->M && weight->quantised)
        ops->linear_quantised_forward(y->data, x->data, weight->quantised, b, z->M, N, K, y->type,
                                      scratch, t->device->stream);
    else if (z->M)
        ops->linear_forward(y->data, x->data, weight->data, b, z->M, N, K, y->type, scratch,
                            t->device->stream);
    tape_scratch_end(t, mark);
}

// With rows m: y[m,n] = sum_k x[m,k] W[n,k] + b[n], so
//   dx[m,k] = sum_n dy[m,n] W[n,k],   dx = dy W
//   dW[n,k] = sum_m dy[m,n] x[m,k],   dW = dy^T x
//   db[n]   = sum_m dy[m,n].
void *linear_back(tape *t, const linear_size *z, tensor *y, tensor *x, tensor *weight,
                  tensor *bias) {
    stream *s = t->device->stream;
    const void *dy = tape_output_gradient(y);
    int acc_x, acc_weight, acc_bias;
    void *dx = tape_gradient(t, x, &acc_x);
    void *dweight = tape_weight_gradient(t, weight, &acc_weight);
    void *dbias = tape_gradient(t, bias, &acc_bias);
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, z->scratch);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    if (z->M == 0) {
        op_zero_gradient(t, weight, dweight, acc_weight);
        op_zero_gradient(t, bias, dbias, acc_bias);
    } else if (dweight || dbias)
        ops->linear_backward_weight(dweight, dbias, dy, x->data, z->M, z->N, z->K, acc_weight,
                                    acc_bias, y->type, scratch, s);
    if (dx && z->M && weight->quantised)
        ops->linear_quantised_backward_input(dx, dy, weight->quantised, z->M, z->N, z->K, acc_x,
                                             y->type, scratch, s);
    else if (dx && z->M)
        ops->linear_backward_input(dx, dy, weight->data, z->M, z->N, z->K, acc_x, y->type, scratch,
                                   s);
    tape_scratch_end(t, mark);
    return dx;
}

static void linear_rule(tape *t, const tape_node *node) {
    linear_back(t, node->saved, node->out[0], node->in[0], node->in[1], node->in[2]);
}

tensor *linear_output(tape *t, const char *op, tensor *inp, tensor *weight, tensor *bias) {
    char who[64];
    snprintf(who, sizeof who, "%s weight", op);
    tensor_expect(weight, who, 2, (int64_t[]){-1, -1});
    snprintf(who, sizeof who, "%s inp", op);
    if (inp->rank < 1) die("%s: has rank 0, expected (..., K)", who);
    int64_t N = weight->dim[0], K = weight->dim[1], dim[TENSOR_MAX_RANK];
    for (int i = 0; i < inp->rank; i++) dim[i] = inp->dim[i];
    dim[inp->rank - 1] = K;
    tensor_expect(inp, who, inp->rank, dim);
    snprintf(who, sizeof who, "%s bias", op);
    if (bias) tensor_expect(bias, who, 1, &N);
    dim[inp->rank - 1] = N;
    return tape_tensor(t, inp->rank, dim);
}

tensor *linear(tape *t, tensor *inp, tensor *weight, tensor *bias) {
    tensor *y = linear_output(t, "linear", inp, weight, bias);
    linear_size *z = tape_keep(t, sizeof *z);
    linear_compute(t, z, y, inp, weight, bias);
    tape_record(t, "linear", linear_rule, z, &y, 1, (tensor *[]){inp, weight, bias}, 3);
    return y;
}
