// (B, ..., C) -> (B, C): the mean over all dimensions between, such as torch's adaptive average
// pooling to one cell.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// y[b,c] = sum_t x[b,t,c] / T, so dx[b,t,c] = dy[b,c] / T.
static void mean_tokens_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->mean_tokens_backward(dx, tape_output_gradient(y), y->dim[0], op_tokens(x),
                                         y->dim[1], acc, y->type, t->device->stream);
}

tensor *mean_tokens(tape *t, tensor *inp) {
    char text[SHAPE_TEXT_SIZE];
    if (inp->rank < 3 || op_tokens(inp) == 0)
        die("mean_tokens inp: %s, expected (B, ..., C) with something between",
            shape_text(text, inp->rank, inp->dim));
    int64_t B = inp->dim[0], C = inp->dim[inp->rank - 1];
    tensor *y = tape_tensor(t, 2, (int64_t[]){B, C});
    t->device->ops->mean_tokens_forward(y->data, inp->data, B, op_tokens(inp), C, y->type,
                                        t->device->stream);
    tape_record(t, "mean_tokens", mean_tokens_rule, NULL, &y, 1, &inp, 1);
    return y;
}
