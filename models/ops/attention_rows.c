// Attention over packed rows: attention.c's formulas for every segment of a table, whose queries
// and keys are runs of rows in up to two and three tensors. The table is read on the device when
// the kernels run, so what is checked here are shapes.
#include "models/ops/attention_op.h"
#include "models/ops/op_checks.h"

#include <math.h>

enum { QUERIES = 2, KEYS = 3, INPUTS = QUERIES + 2 * KEYS };

// Inputs are q[0..1], k[0..2], v[0..2], outputs those of the query pieces that there are. Formulas:
// attention.c.
static void rows_rule(tape *t, const tape_node *node) {
    const attention_saved *saved = node->saved;
    attention_gradients g = {0};
    for (int p = 0, o = 0; p < QUERIES; p++) {
        g.dq[p] = tape_gradient(t, node->in[p], &g.acc_q[p]);
        if (node->in[p]) g.dout[p] = tape_output_gradient(node->out[o++]);
    }
    for (int p = 0; p < KEYS; p++) g.dk[p] = tape_gradient(t, node->in[QUERIES + p], &g.acc_k[p]);
    for (int p = 0; p < KEYS; p++)
        g.dv[p] = tape_gradient(t, node->in[QUERIES + KEYS + p], &g.acc_v[p]);
    attention_run_back(t, saved, &g);
}

// Sizes of the call, from pieces that must agree on heads.
static attention_shape shape_of(const attention_rows_args *a) {
    const tensor *some = a->q[0] ? a->q[0] : a->q[1];
    if (!some) die("attention_rows: there are no queries");
    if (!a->k[0] && !a->k[1] && !a->k[2]) die("attention_rows: there are no keys");
    tensor_expect(some, "attention_rows q", 3, (int64_t[]){-1, -1, -1});
    const int64_t rows[] = {-1, some->dim[1], some->dim[2]};
    attention_shape z = {.TQ = a->most_queries, .TK = a->most_keys, .H = rows[1], .D = rows[2]};
    for (int p = 0; p < QUERIES; p++) {
        if (!a->q[p]) continue;
        tensor_expect(a->q[p], "attention_rows q", 3, rows);
        z.q_rows[p] = a->q[p]->dim[0];
    }
    for (int p = 0; p < KEYS; p++) {
        if (!a->k[p] && !a->v[p]) continue;
        tensor_expect(a->k[p], "attention_rows k", 3, rows);
        tensor_expect(a->v[p], "attention_rows v", 3, a->k[p]->dim);
        z.k_rows[p] = a->k[p]->dim[0];
    }
    tensor_expect(a->segments, "attention_rows segments", 2, (int64_t[]){-1, SEGMENT_COLUMNS});
    op_expect_type(a->segments, "attention_rows segments", DTYPE_I32);
    z.B = a->segments->dim[0];
    z.segments = a->segments->data;
    z.known = a->known;
    z.scale = 1 / sqrt((double)z.D);
    return z;
}

// A row that is a query of one segment and a key of another gets its gradients from two threads, in
// no order.
static void expect_apart(tensor *const *in) {
    for (int i = 0; i < INPUTS; i++)
        for (int j = 0; j < i; j++)
            if (in[i] && in[j] && in[i]->grad && in[i]->grad == in[j]->grad)
                die("attention_rows: two of q, k and v are the same tensor and want a gradient");
}

void attention_rows(tape *t, tensor *out[2], const attention_rows_args *a) {
    attention_saved *saved = tape_keep(t, sizeof *saved);
    attention_tensors *x = &saved->x;
    saved->z = shape_of(a);
    attention_drop(t, &saved->z, a->dropout);
    tensor *in[INPUTS] = {0}, *made[QUERIES];
    int outs = 0;
    for (int p = 0; p < QUERIES; p++) {
        out[p] = in[p] = a->q[p];
        if (!a->q[p]) continue;
        out[p] = made[outs++] = tape_tensor(t, 3, a->q[p]->dim);
        int64_t numbers[] = {saved->z.H, saved->z.q_rows[p]};
        x->q[p] = a->q[p]->data;
        x->out[p] = out[p]->data;
        x->lse[p] = tape_tensor_of(t, dtype_wide(out[p]->type), 2, numbers)->data;
    }
    for (int p = 0; p < KEYS; p++) {
        in[QUERIES + p] = a->k[p], in[QUERIES + KEYS + p] = a->v[p];
        if (!a->k[p]) continue;
        x->k[p] = a->k[p]->data;
        x->v[p] = a->v[p]->data;
    }
    expect_apart(in);
    attention_run(t, saved);
    tape_record(t, "attention_rows", rows_rule, saved, made, outs, in, INPUTS);
}
