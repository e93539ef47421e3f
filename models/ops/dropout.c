// Dropout (Srivastava et al. 2014) and stochastic depth (Huang et al. 2016, "row" mode: one draw
// per sample). y = x m with m = 0 where the draw is below RATE, else 1 / (1 - RATE).
//
// No mask is stored: a draw depends on the call's place in the step, the global sample and the
// element alone, so the rule draws again, and so does a region that is run again. Packed rows,
// whose places in their samples a map tells, lose what the same samples in a padded batch would.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// dx = dy m.
static void dropout_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->dropout_backward(dx, tape_output_gradient(y), node->saved, acc, y->type,
                                     t->device->stream);
}

static tensor *drop(tape *t, const char *op, tensor *inp, const int32_t *rows, double rate,
                    bool whole_samples) {
    if (!(rate >= 0 && rate < 1)) die("%s: the rate is %g, expected 0 <= rate < 1", op, rate);
    if (inp->rank < 1) die("%s: the input has rank 0 and no samples", op);
    if (!t->training || rate == 0) return inp;
    dropout_shape *z = tape_keep(t, sizeof *z);
    z->samples = inp->dim[0];
    z->per_sample = z->samples ? tensor_count(inp) / z->samples : 0;
    z->group = whole_samples ? z->per_sample : 1;
    z->rows = rows;
    z->rate = rate;
    z->key = tape_draw(t);
    z->first_sample = t->first_sample;
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    t->device->ops->dropout_forward(y->data, inp->data, z, y->type, t->device->stream);
    tape_record(t, op, dropout_rule, z, &y, 1, &inp, 1);
    return y;
}

tensor *dropout(tape *t, tensor *inp, double rate) {
    return drop(t, "dropout", inp, NULL, rate, false);
}

tensor *drop_path(tape *t, tensor *inp, double rate) {
    return drop(t, "drop_path", inp, NULL, rate, true);
}

tensor *dropout_rows(tape *t, tensor *inp, tensor *rows, double rate) {
    tensor_expect(inp, "dropout_rows inp", 2, (int64_t[]){-1, -1});
    tensor_expect(rows, "dropout_rows rows", 2, (int64_t[]){inp->dim[0], 2});
    op_expect_type(rows, "dropout_rows rows", DTYPE_I32);
    return drop(t, "dropout_rows", inp, rows->data, rate, false);
}
