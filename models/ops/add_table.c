// y[b] = x[b] + table: a learned table (positions) under every sample.
#include "models/ops/ops.h"

// dx = dy; dtable = sum over b of dy[b].
static void add_table_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0], *table = node->in[1];
    int acc, acc_table;
    void *dx = tape_gradient(t, x, &acc), *dtable = tape_weight_gradient(t, table, &acc_table);
    const struct op_kernels *ops = t->device->ops;
    const void *dy = tape_output_gradient(y);
    if (dx) ops->add_backward(dx, dy, tensor_count(y), acc, y->type, t->device->stream);
    if (dtable)
        ops->add_table_backward(dtable, dy, y->dim[0], tensor_count(table), acc_table, y->type,
                                table->grad->type, t->device->stream);
}

tensor *add_table(tape *t, tensor *inp, tensor *table) {
    tensor_expect(inp, "add_table inp", 3, (int64_t[]){-1, -1, -1});
    tensor_expect(table, "add_table table", 2, inp->dim + 1);
    tensor *y = tape_tensor(t, inp->rank, inp->dim);
    t->device->ops->add_table_forward(y->data, inp->data, table->data, inp->dim[0],
                                      tensor_count(table), y->type, t->device->stream);
    tape_record(t, "add_table", add_table_rule, NULL, &y, 1, (tensor *[]){inp, table}, 2);
    return y;
}
