// The head of a language model and its loss in one: cross_entropy(linear(inp, weight, bias),
// target). The logits, which are the largest tensor of a step, exist once: the rule turns them into
// their gradient where they lie. That is made from the loss's gradient before it is rounded to the
// logits' type, so that a loss scale protects what a narrow type holds.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct head_saved {
    int64_t N, V, D;
    void *logits;       // (N, V); their gradient once the rule has run
    const void *peak;   // (N, 2) wide: see cross_entropy.c
    const void *target; // (N)
    double smoothing, count;
    size_t scratch;
} head_saved;

// dlogits as in cross_entropy.c, and with them, as in linear.c,
//   dx = dlogits W,   dW = dlogits^T x,   db = sum over rows of dlogits.
static void linear_cross_entropy_rule(tape *t, const tape_node *node) {
    const head_saved *z = node->saved;
    tensor *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
    stream *s = t->device->stream;
    const void *dloss = tape_output_gradient(node->out[0]);
    int acc_x, acc_weight, acc_bias;
    void *dx = tape_gradient(t, x, &acc_x);
    void *dweight = tape_gradient(t, weight, &acc_weight);
    void *dbias = tape_gradient(t, bias, &acc_bias);
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, z->scratch);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    if (z->N == 0) {
        op_zero_gradient(t, weight, dweight, acc_weight);
        op_zero_gradient(t, bias, dbias, acc_bias);
    } else {
        ops->cross_entropy_backward(z->logits, dloss, z->logits, z->peak, z->target, z->N, z->V,
                                    z->smoothing, z->count, 0, x->type, s);
        if (dweight || dbias)
            ops->linear_backward_weight(dweight, dbias, z->logits, x->data, z->N, z->V, z->D,
                                        acc_weight, acc_bias, x->type, scratch, s);
        if (dx)
            ops->linear_backward_input(dx, z->logits, weight->data, z->N, z->V, z->D, acc_x,
                                       x->type, scratch, s);
    }
    tape_scratch_end(t, mark);
}

static void expect_shapes(tape *t, tensor *inp, tensor *weight, tensor *bias, tensor *target) {
    tensor_expect(weight, "linear_cross_entropy weight", 2, (int64_t[]){-1, -1});
    tensor_expect(inp, "linear_cross_entropy inp", 2, (int64_t[]){-1, weight->dim[1]});
    tensor_expect(bias, "linear_cross_entropy bias", 1, weight->dim);
    tensor_expect(target, "linear_cross_entropy target", 1, inp->dim);
    op_expect_type(inp, "linear_cross_entropy inp", t->device->type);
    op_expect_type(weight, "linear_cross_entropy weight", t->device->type);
    op_expect_type(bias, "linear_cross_entropy bias", dtype_wide(t->device->type));
    op_expect_type(target, "linear_cross_entropy target", DTYPE_I32);
}

tensor *linear_cross_entropy(tape *t, tensor *inp, tensor *weight, tensor *bias, tensor *target,
                             double smoothing, double count) {
    expect_shapes(t, inp, weight, bias, target);
    op_expect_smoothing("linear_cross_entropy", smoothing, count);
    const int64_t N = inp->dim[0], V = weight->dim[0], D = weight->dim[1];
    const dtype type = inp->type, wide = dtype_wide(type);
    tensor *in[] = {inp, weight, bias}, *loss = tape_tensor_of(t, wide, 0, NULL);
    const size_t start = tape_scratch_begin(t);
    void *peak = tape_tensor_of(t, wide, 2, (int64_t[]){N, 2})->data;
    void *logits = tape_tensor_of(t, type, 2, (int64_t[]){N, V})->data;
    head_saved *z = tape_keep(t, sizeof *z);
    *z = (head_saved){N, V, D, logits, peak, target->data, smoothing, count, 0};
    z->scratch = N ? t->device->ops->linear_scratch(N, V, D, type, t->device->stream) : 0;
    const size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, z->scratch);
    if (N)
        t->device->ops->linear_forward(logits, inp->data, weight->data, bias->data, N, V, D, type,
                                       scratch, t->device->stream);
    tape_scratch_end(t, mark);
    t->device->ops->cross_entropy_forward(loss->data, peak, logits, target->data, N, V, smoothing,
                                          count, type, t->device->stream);
    if (!tape_wants(t, in, 3)) tape_scratch_end(t, start); // nobody will ask for them
    tape_record(t, "linear_cross_entropy", linear_cross_entropy_rule, z, &loss, 1, in, 3);
    return loss;
}
