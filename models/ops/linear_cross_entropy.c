// The head of a language model and its loss in one: cross_entropy(linear(inp, weight, bias),
// target), each row's part times its row_weight. Logits are the largest tensor of a step.
//
// Where the head trains they exist once: the rule turns them into their gradient where they lie.
// That is made from the loss's gradient before it is rounded to the logits' type, so that a loss
// scale protects what a narrow type holds.
//
// Where the head is frozen, or nothing is recorded, only a chunk of rows has logits at a time. The
// loss is linear in them from there on, so the forward pass makes a chunk's dx at once, and the
// rule only scales it: what comes from the loss is a factor for all, row_weight one for each row.
// What is kept in the activations' type is dx without both and without 1 / count, times KEPT:
// dlogits then lie between -KEPT and KEPT whatever the batch, so that in f16 probabilities down to
// 6e-8 are normal numbers and dx is at most 2 KEPT times the head's largest weight, far from its
// end. With 1 / count inside they would be below f16's smallest number, and the loss scale comes
// too late.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

static const double KEPT = 1024;

typedef struct head_saved {
    int64_t N, V, D;
    void *logits;           // (N, V); their gradient once the rule has run; NULL: in chunks
    const void *peak;       // (N, 2) wide: see cross_entropy.c
    void *kept;             // (N, D): see above
    const void *target;     // (N)
    const void *row_weight; // (N) wide or NULL
    double smoothing, count;
    size_t scratch;
} head_saved;

// dlogits as in cross_entropy.c, times row_weight, and with them, as in linear.c,
//   dx = dlogits W,   dW = dlogits^T x,   db = sum over rows of dlogits.
static void trained_rule(tape *t, const tape_node *node) {
    const head_saved *z = node->saved;
    tensor *x = node->in[0], *weight = node->in[1], *bias = node->in[2];
    stream *s = t->device->stream;
    const void *dloss = tape_output_gradient(node->out[0]);
    int acc_x, acc_weight, acc_bias;
    void *dx = tape_gradient(t, x, &acc_x);
    void *dweight = tape_weight_gradient(t, weight, &acc_weight);
    void *dbias = tape_gradient(t, bias, &acc_bias);
    size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, z->scratch);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    if (z->N == 0) {
        op_zero_gradient(t, weight, dweight, acc_weight);
        op_zero_gradient(t, bias, dbias, acc_bias);
    } else {
        ops->cross_entropy_backward(z->logits, dloss, z->logits, z->peak, z->target, z->row_weight,
                                    z->N, z->V, z->smoothing, z->count, 0, x->type, s);
        if (dweight || dbias)
            ops->linear_backward_weight(dweight, dbias, z->logits, x->data, z->N, z->V, z->D,
                                        acc_weight, acc_bias, x->type, scratch, s);
        if (dx)
            ops->linear_backward_input(dx, z->logits, weight->data, z->N, z->V, z->D, acc_x,
                                       x->type, scratch, s);
    }
    tape_scratch_end(t, mark);
}

// dx = kept row_weight dloss / (KEPT count).
static void frozen_rule(tape *t, const tape_node *node) {
    const head_saved *z = node->saved;
    tensor *x = node->in[0];
    int acc;
    void *dx = tape_gradient(t, x, &acc);
    t->device->ops->linear_cross_entropy_backward(dx, tape_output_gradient(node->out[0]), z->kept,
                                                  z->row_weight, 1 / (KEPT * z->count), z->N, z->D,
                                                  acc, x->type, t->device->stream);
}

static void expect_shapes(tape *t, tensor *const *in, tensor *target, tensor *row_weight) {
    const tensor *inp = in[0], *weight = in[1], *bias = in[2];
    const dtype type = t->device->type, wide = dtype_wide(type);
    tensor_expect(weight, "linear_cross_entropy weight", 2, (int64_t[]){-1, -1});
    tensor_expect(inp, "linear_cross_entropy inp", 2, (int64_t[]){-1, weight->dim[1]});
    if (bias) tensor_expect(bias, "linear_cross_entropy bias", 1, weight->dim);
    tensor_expect(target, "linear_cross_entropy target", 1, inp->dim);
    op_expect_type(inp, "linear_cross_entropy inp", type);
    op_expect_type(weight, "linear_cross_entropy weight", type);
    if (bias) op_expect_type(bias, "linear_cross_entropy bias", wide);
    op_expect_type(target, "linear_cross_entropy target", DTYPE_I32);
    if (!row_weight) return;
    tensor_expect(row_weight, "linear_cross_entropy row_weight", 1, inp->dim);
    op_expect_type(row_weight, "linear_cross_entropy row_weight", wide);
    if (row_weight->grad)
        die("linear_cross_entropy row_weight: wants a gradient, which there is not");
}

// Logits of ROWS rows from FIRST on, and what the loss gains by them.
static void forward_rows(tape *t, const head_saved *z, tensor *loss, tensor *const *in,
                         void *logits, void *peak, void *scratch, int64_t first, int64_t rows) {
    const struct op_kernels *ops = t->device->ops;
    const dtype type = in[0]->type;
    stream *s = t->device->stream;
    if (rows)
        ops->linear_forward(logits, op_row(in[0]->data, first, z->D, type), in[1]->data,
                            in[2] ? in[2]->data : NULL, rows, z->V, z->D, type, scratch, s);
    ops->cross_entropy_forward(loss->data, peak, logits, op_row(z->target, first, 1, DTYPE_I32),
                               op_row(z->row_weight, first, 1, loss->type), rows, z->V,
                               z->smoothing, z->count, first > 0, type, s);
}

static void forward_whole(tape *t, head_saved *z, tensor *loss, tensor *const *in) {
    const dtype type = in[0]->type;
    void *peak = tape_tensor_of(t, loss->type, 2, (int64_t[]){z->N, 2})->data;
    z->peak = peak;
    z->logits = tape_tensor_of(t, type, 2, (int64_t[]){z->N, z->V})->data;
    if (z->N)
        z->scratch = t->device->ops->linear_scratch(z->N, z->V, z->D, type, t->device->stream);
    const size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, z->scratch);
    forward_rows(t, z, loss, in, z->logits, peak, scratch, 0, z->N);
    tape_scratch_end(t, mark);
}

// Rows of a chunk whose logits take at most BYTES, in whole groups of 64 where there are so many:
// products are made in tiles.
static int64_t chunk_rows(const head_saved *z, dtype type, size_t bytes) {
    int64_t rows = (int64_t)(bytes / dtype_size(type)) / (z->V > 0 ? z->V : 1);
    if (rows >= 64) rows -= rows % 64;
    return rows < 1 ? 1 : rows > z->N ? z->N : rows;
}

static size_t chunk_scratch(tape *t, const head_saved *z, int64_t rows, dtype type) {
    const struct op_kernels *ops = t->device->ops;
    if (!z->N) return 0;
    const int64_t last = z->N % rows;
    const size_t all = ops->linear_scratch(rows, z->V, z->D, type, t->device->stream);
    const size_t rest = last ? ops->linear_scratch(last, z->V, z->D, type, t->device->stream) : 0;
    return rest > all ? rest : all;
}

static void forward_chunks(tape *t, head_saved *z, tensor *loss, tensor *const *in, size_t bytes) {
    const dtype type = in[0]->type;
    const int64_t step = chunk_rows(z, type, bytes);
    if (tape_wants(t, in, 1)) z->kept = tape_tensor(t, 2, in[0]->dim)->data;
    const size_t mark = tape_scratch_begin(t);
    void *logits = tape_scratch(t, (size_t)(step * z->V) * dtype_size(type));
    void *peak = tape_scratch(t, (size_t)(2 * step) * dtype_size(loss->type));
    void *scratch = tape_scratch(t, chunk_scratch(t, z, step, type));
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    if (!z->N) forward_rows(t, z, loss, in, logits, peak, scratch, 0, 0);
    for (int64_t first = 0; first < z->N; first += step) {
        const int64_t rows = z->N - first < step ? z->N - first : step;
        forward_rows(t, z, loss, in, logits, peak, scratch, first, rows);
        if (!z->kept) continue;
        ops->cross_entropy_backward(logits, NULL, logits, peak,
                                    op_row(z->target, first, 1, DTYPE_I32), NULL, rows, z->V,
                                    z->smoothing, 1 / KEPT, 0, type, t->device->stream);
        ops->linear_backward_input(op_row(z->kept, first, z->D, type), logits, in[1]->data, rows,
                                   z->V, z->D, 0, type, scratch, t->device->stream);
    }
    tape_scratch_end(t, mark);
}

tensor *linear_cross_entropy_within(tape *t, tensor *inp, tensor *weight, tensor *bias,
                                    tensor *target, tensor *row_weight, double smoothing,
                                    double count, size_t bytes) {
    tensor *in[] = {inp, weight, bias};
    expect_shapes(t, in, target, row_weight);
    op_expect_smoothing("linear_cross_entropy", smoothing, count);
    const bool trains = tape_wants(t, in + 1, 2);
    tensor *loss = tape_tensor_of(t, dtype_wide(inp->type), 0, NULL);
    head_saved *z = tape_keep(t, sizeof *z);
    *z = (head_saved){.N = inp->dim[0],
                      .V = weight->dim[0],
                      .D = weight->dim[1],
                      .target = target->data,
                      .row_weight = row_weight ? row_weight->data : NULL,
                      .smoothing = smoothing,
                      .count = count};
    if (trains)
        forward_whole(t, z, loss, in);
    else
        forward_chunks(t, z, loss, in, bytes);
    tape_record(t, "linear_cross_entropy", trains ? trained_rule : frozen_rule, z, &loss, 1, in, 3);
    return loss;
}

tensor *linear_cross_entropy(tape *t, tensor *inp, tensor *weight, tensor *bias, tensor *target,
                             tensor *row_weight, double smoothing, double count) {
    return linear_cross_entropy_within(t, inp, weight, bias, target, row_weight, smoothing, count,
                                       LINEAR_CROSS_ENTROPY_CHUNK);
}
