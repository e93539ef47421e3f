// y = the rows of all ranks, in rank order. What contrastive losses compare each rank's samples with: every
// rank's loss reaches every other's rows, so the gather carries gradient (as LAVIS' GatherLayer does).
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct gathered {
    int64_t total, row; // rows of all ranks; elements of a row
} gathered;

// A rank's rows begin here, in elements: as they stand in y, and among parts of equal size, each as large as
// the largest, which is what the collectives know.
typedef struct parts {
    int64_t most, own, place; // elements
} parts;

static parts parts_of(const comm *c, const gathered *g, int rank) {
    int64_t first, rows = comm_share(g->total, rank, c->size, &first);
    return (parts){comm_share(g->total, 0, c->size, NULL) * g->row, rows * g->row, first * g->row};
}

// y's rows into equal parts, which end in zeros where they are not full, or back.
static void spread(tape *t, const gathered *g, void *padded, void *rows, bool back, dtype type) {
    device *d = t->device;
    for (int rank = 0; rank < t->comm->size; rank++) {
        parts p = parts_of(t->comm, g, rank);
        void *part = op_row(padded, rank * p.most, 1, type), *own = op_row(rows, p.place, 1, type);
        size_t bytes = (size_t)p.own * dtype_size(type);
        d->copy(d, back ? own : part, back ? part : own, bytes);
        if (!back) d->zero(d, (char *)part + bytes, (size_t)(p.most - p.own) * dtype_size(type));
    }
}

// The loss is the sum over ranks s of L_s, and each L_s sees x_r in its y_s: dx_r = sum over s of dy_s at r's
// rows, which is reduce_scatter.
static void gather_ranks_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    const gathered *g = node->saved;
    comm *c = t->comm;
    parts p = parts_of(c, g, c->rank);
    int acc;
    void *dx = tape_gradient(t, x, &acc), *dy = (void *)(uintptr_t)tape_output_gradient(y);
    bool even = g->total % c->size == 0;
    if (even && !acc) {
        c->reduce_scatter(c, dx, dy, p.most, y->type, t->device);
        return;
    }
    size_t mark = tape_scratch_begin(t);
    int64_t room = even ? p.most : c->size * p.most;
    void *scratch = tape_scratch(t, (size_t)room * dtype_size(y->type)), *own = scratch;
    if (even) {
        c->reduce_scatter(c, own, dy, p.most, y->type, t->device);
    } else {
        own = op_row(scratch, c->rank * p.most, 1, y->type);
        spread(t, g, scratch, dy, false, y->type);
        c->reduce_scatter(c, own, scratch, p.most, y->type, t->device);
    }
    if (p.own) t->device->ops->add_backward(dx, own, p.own, acc, y->type, t->device->stream);
    tape_scratch_end(t, mark);
}

static void gather_padded(tape *t, tensor *y, const tensor *inp, const gathered *g) {
    comm *c = t->comm;
    parts p = parts_of(c, g, c->rank);
    size_t mark = tape_scratch_begin(t), size = dtype_size(y->type);
    void *padded = tape_scratch(t, (size_t)(c->size * p.most) * size);
    void *own = op_row(padded, c->rank * p.most, 1, y->type);
    t->device->copy(t->device, own, inp->data, (size_t)p.own * size);
    t->device->zero(t->device, (char *)own + (size_t)p.own * size, (size_t)(p.most - p.own) * size);
    c->all_gather(c, padded, own, p.most, y->type, t->device);
    spread(t, g, padded, y->data, true, y->type);
    tape_scratch_end(t, mark);
}

tensor *gather_ranks(tape *t, tensor *inp, int64_t total) {
    comm *c = t->comm;
    int64_t dim[TENSOR_MAX_RANK] = {total}, rows = comm_share(total, c->rank, c->size, NULL);
    op_rows(inp, "gather_ranks inp", 1);
    for (int i = 1; i < inp->rank; i++) dim[i] = inp->dim[i];
    if (inp->dim[0] != rows)
        die("gather_ranks inp: has %lld rows, but rank %d of %d has %lld of %lld", (long long)inp->dim[0], c->rank,
            c->size, (long long)rows, (long long)total);
    if (c->size == 1) return inp;
    tensor *y = tape_tensor_of(t, inp->type, inp->rank, dim);
    gathered *g = tape_keep(t, sizeof *g);
    *g = (gathered){total, total ? tensor_count(y) / total : 0};
    if (total % c->size)
        gather_padded(t, y, inp, g);
    else
        c->all_gather(c, y->data, inp->data, rows * g->row, y->type, t->device);
    tape_record(t, "gather_ranks", gather_ranks_rule, g, &y, 1, (tensor *[]){inp}, 1);
    return y;
}
