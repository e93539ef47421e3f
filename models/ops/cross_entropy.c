// Cross-entropy of logits with label smoothing, as torch's (Szegedy et al. 2016, section 7). A row
// x of C logits has a largest one m, a sum Z of exp(x_c - m), and -log p_c = m + log(Z) - x_c, so
// with target y it costs
//   (1 - s) (m + log(Z) - x_y) + s (m + log(Z) - mean(x)),
// and the loss is the sum over the rows that count divided by COUNT. A row whose target is -1 does
// not take part at all: whatever its logits are, its loss and gradients are 0.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct loss_saved {
    const void *target; // (R)
    // (R, 2) wide: m and Z; a rounded m + log(Z) would spoil p where logits are large
    const void *peak;
    double smoothing, count;
} loss_saved;

// d log(Z) / dx_c = exp(x_c - m) / Z = p_c (m may be any constant, so it has no part in this), and
//   dx_c = dloss / count (p_c - (1 - s) [c = y] - s / C).
static void cross_entropy_rule(tape *t, const tape_node *node) {
    tensor *x = node->in[0];
    const loss_saved *saved = node->saved;
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->cross_entropy_backward(
        dx, tape_output_gradient(node->out[0]), x->data, saved->peak, saved->target, NULL,
        x->dim[0], x->dim[1], saved->smoothing, saved->count, acc, x->type, t->device->stream);
}

tensor *cross_entropy(tape *t, tensor *logits, tensor *target, double smoothing, double count) {
    dtype wide = dtype_wide(t->device->type);
    tensor_expect(logits, "cross_entropy logits", 2, (int64_t[]){-1, -1});
    tensor_expect(target, "cross_entropy target", 1, logits->dim);
    op_expect_type(target, "cross_entropy target", DTYPE_I32);
    if (logits->type != wide) op_expect_type(logits, "cross_entropy logits", t->device->type);
    op_expect_smoothing("cross_entropy", smoothing, count);
    tensor *loss = tape_tensor_of(t, wide, 0, NULL);
    tensor *peak = tape_tensor_of(t, wide, 2, (int64_t[]){logits->dim[0], 2});
    loss_saved *saved = tape_keep(t, sizeof *saved);
    *saved = (loss_saved){target->data, peak->data, smoothing, count};
    t->device->ops->cross_entropy_forward(loss->data, peak->data, logits->data, target->data, NULL,
                                          logits->dim[0], logits->dim[1], smoothing, count, 0,
                                          logits->type, t->device->stream);
    tape_record(t, "cross_entropy", cross_entropy_rule, saved, &loss, 1, &logits, 1);
    return loss;
}
