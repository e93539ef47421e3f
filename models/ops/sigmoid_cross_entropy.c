// Binary cross-entropy of logits with positive weights, as torch's BCEWithLogitsLoss(pos_weight):
//   l(x, y) = (1 - y) x + w softplus(-x),   w = 1 + (p - 1) y,
//   softplus(z) = log(1 + exp(z)) = log1p(exp(-|z|)) + max(z, 0), which overflows nowhere.
// For y = 0 that is softplus(x), as x + softplus(-x) = softplus(x), and for y = 1 p softplus(-x).
// The loss is the sum of mask[c] l / count. A class whose mask is 0 does not take part at all:
// whatever its logits and weight are, its terms and gradients are 0.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct loss_saved {
    const void *target, *positive_weight, *mask;
    double count;
} loss_saved;

// d softplus(-x) / dx = -s(-x) with the sigmoid s, so
//   dl/dx = (1 - y) - w s(-x),   which is s(x) for y = 0 and -p s(-x) for y = 1,
//   dx = dloss mask[c] / count dl/dx.
static void sigmoid_cross_entropy_rule(tape *t, const tape_node *node) {
    tensor *x = node->in[0];
    const loss_saved *saved = node->saved;
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->sigmoid_cross_entropy_backward(
        dx, tape_output_gradient(node->out[0]), x->data, saved->target, saved->positive_weight,
        saved->mask, x->dim[0], x->dim[1], saved->count, acc, x->type, t->device->stream);
}

tensor *sigmoid_cross_entropy(tape *t, tensor *logits, tensor *target, tensor *positive_weight,
                              tensor *mask, double count) {
    tensor_expect(logits, "sigmoid_cross_entropy logits", 2, (int64_t[]){-1, -1});
    tensor_expect(target, "sigmoid_cross_entropy target", 2, logits->dim);
    tensor_expect(positive_weight, "sigmoid_cross_entropy positive_weight", 1, logits->dim + 1);
    tensor_expect(mask, "sigmoid_cross_entropy mask", 1, logits->dim + 1);
    op_expect_type(target, "sigmoid_cross_entropy target", DTYPE_U8);
    op_expect_type(positive_weight, "sigmoid_cross_entropy positive_weight", DTYPE_F32);
    op_expect_type(mask, "sigmoid_cross_entropy mask", DTYPE_F32);
    if (!(count > 0)) die("sigmoid_cross_entropy: the count is %g, expected more than 0", count);
    loss_saved *saved = tape_keep(t, sizeof *saved);
    *saved = (loss_saved){target->data, positive_weight->data, mask->data, count};
    tensor *loss = tape_tensor_of(t, dtype_wide(t->device->type), 0, NULL);
    t->device->ops->sigmoid_cross_entropy_forward(
        loss->data, logits->data, target->data, positive_weight->data, mask->data, logits->dim[0],
        logits->dim[1], count, logits->type, t->device->stream);
    tape_record(t, "sigmoid_cross_entropy", sigmoid_cross_entropy_rule, saved, &loss, 1, &logits,
                1);
    return loss;
}
