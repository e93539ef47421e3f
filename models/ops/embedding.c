// y[r] = table[index[r]]: rows of a table by number.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// dtable[v] = sum over r with index[r] = v of dy[r]. Numbers have no gradient.
static void embedding_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *table = node->in[0];
    int acc;
    void *dtable = tape_weight_gradient(t, table, &acc);
    t->device->ops->embedding_backward(dtable, tape_output_gradient(y), node->saved, y->dim[0],
                                       table->dim[0], table->dim[1], acc, y->type,
                                       table->grad->type, t->device->stream);
}

// A number outside of the table comes from the world, not from a bug here: the CPU's kernel keeps
// it as a failure of the step, and gives a row of zeros.
tensor *embedding(tape *t, tensor *table, tensor *index) {
    tensor_expect(table, "embedding table", 2, (int64_t[]){-1, -1});
    tensor_expect(index, "embedding index", 1, (int64_t[]){-1});
    op_expect_type(index, "embedding index", DTYPE_I32);
    tensor *y = tape_tensor(t, 2, (int64_t[]){index->dim[0], table->dim[1]});
    t->device->ops->embedding_forward(y->data, table->data, index->data, index->dim[0],
                                      table->dim[0], table->dim[1], y->type, t->device->stream);
    tape_record(t, "embedding", embedding_rule, index->data, &y, 1, &table, 1);
    return y;
}
