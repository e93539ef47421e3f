// y[r] = [x[r], vector]: the same vector beside every row.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// dx[r] = the first C1 of dy[r]; dvector = sum over r of the last C2.
static void concat_vector_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0], *vector = node->in[1];
    int64_t C1 = x->dim[x->rank - 1], C2 = vector->dim[0];
    int acc, acc_vector;
    void *dx = tape_gradient(t, x, &acc), *dvector = tape_gradient(t, vector, &acc_vector);
    t->device->ops->concat_vector_backward(dx, dvector, tape_output_gradient(y),
                                           tensor_count(y) / (C1 + C2), C1, C2, acc, acc_vector,
                                           y->type, t->device->stream);
}

tensor *concat_vector(tape *t, tensor *inp, tensor *vector) {
    int64_t rows = op_rows(inp, "concat_vector inp", 1), dim[TENSOR_MAX_RANK];
    tensor_expect(vector, "concat_vector vector", 1, (int64_t[]){-1});
    int last = inp->rank - 1;
    for (int i = 0; i < last; i++) dim[i] = inp->dim[i];
    dim[last] = inp->dim[last] + vector->dim[0];
    tensor *y = tape_tensor(t, inp->rank, dim);
    t->device->ops->concat_vector_forward(y->data, inp->data, vector->data, rows, inp->dim[last],
                                          vector->dim[0], y->type, t->device->stream);
    tape_record(t, "concat_vector", concat_vector_rule, NULL, &y, 1, (tensor *[]){inp, vector}, 2);
    return y;
}
