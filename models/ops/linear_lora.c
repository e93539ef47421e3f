// A linear layer with low-rank additions (LoRA, Hu et al. 2021; dropout as in PEFT: before each A,
// a mask of its own): y = x W^T + b, and for each part p, at its columns,  y_p += s_p (x m_p) A_p^T
// B_p^T.
//
// The products are skinny, so they are kernels of our own that sweep over x once for all parts, and
// over y once. What they leave between, mid (M, R), stays in f32. Dropout draws again in the
// backward pass, as in dropout.c.
#include "models/ops/linear_op.h"
#include "models/ops/op_checks.h"

typedef struct lora_saved {
    linear_size size;
    lora_shape z;
    void *mid; // (M, R) wide
    size_t scratch;
} lora_saved;

enum { BASE = 3, INPUTS = BASE + 2 * LORA_PARTS }; // x, W, b; then A and B of each part

// Whether the gradient of mid is asked for: by x, or by the A of a part. Where it will be is not
// known in a dry run.
static bool wants_middle(const tape_node *node) {
    for (int i = 0; BASE + i < node->ins; i += 2)
        if (node->in[BASE + i]->grad) return true;
    return node->in[0]->grad;
}

// A batch without rows.
static void no_rows(tape *t, const lora_shape *z, tensor *const *in) {
    for (int i = 0; i < z->parts; i++) {
        op_zero_gradient(t, in[BASE + 2 * i], z->part[i].da, z->part[i].acc_a);
        op_zero_gradient(t, in[BASE + 2 * i + 1], z->part[i].db, z->part[i].acc_b);
    }
}

// With u = (x m) A^T (mid) and y = x W^T + b + s u B^T, on a part's columns of y:
//   du = s dy B,   dB = s dy^T u,   dA = du^T (x m),   dx = dy W + sum over parts of m (du A).
static void linear_lora_rule(tape *t, const tape_node *node) {
    const lora_saved *saved = node->saved;
    tensor *y = node->out[0], *x = node->in[0];
    stream *s = t->device->stream;
    lora_shape z = saved->z;
    for (int i = 0; i < z.parts; i++) {
        z.part[i].da = tape_weight_gradient(t, node->in[BASE + 2 * i], &z.part[i].acc_a);
        z.part[i].db = tape_weight_gradient(t, node->in[BASE + 2 * i + 1], &z.part[i].acc_b);
    }
    void *dx = linear_back(t, &saved->size, y, x, node->in[1], node->in[2]);
    if (z.N == 0) {
        no_rows(t, &z, node->in);
        return;
    }
    const bool middle = wants_middle(node);
    size_t mark = tape_scratch_begin(t);
    void *dmid =
        tape_scratch(t, middle ? (size_t)(z.N * z.R) * dtype_size(dtype_wide(y->type)) : 0);
    void *scratch = tape_scratch(t, saved->scratch);
    const struct op_kernels *ops = t->device->ops; // after the memory: it may have been too much
    ops->lora_up_backward(dmid, tape_output_gradient(y), saved->mid, &z, y->type, scratch, s);
    if (middle) ops->lora_down_backward(dx, dmid, x->data, &z, y->type, scratch, s);
    tape_scratch_end(t, mark);
}

static void expect_part(const lora_set *l, int i, const tensor *weight, dtype type, int64_t R) {
    const lora_part *p = &l->part[i];
    tensor_expect(p->a, "linear_lora a", 2, (int64_t[]){-1, weight->dim[1]});
    tensor_expect(p->b, "linear_lora b", 2, (int64_t[]){-1, p->a->dim[0]});
    op_expect_type(p->a, "linear_lora a", type);
    op_expect_type(p->b, "linear_lora b", type);
    const int64_t n = p->b->dim[0], end = p->first + n;
    if (p->first < 0 || end > weight->dim[0])
        die("linear_lora: part %d has columns %lld to %lld of %lld", i, (long long)p->first,
            (long long)end, (long long)weight->dim[0]);
    if (R + p->a->dim[0] > LORA_WIDEST)
        die("linear_lora: the parts' ranks sum to more than %d", LORA_WIDEST);
    for (int k = 0; k < i; k++)
        if (p->first < l->part[k].first + l->part[k].b->dim[0] && l->part[k].first < end)
            die("linear_lora: parts %d and %d share columns", k, i);
}

static lora_shape shape_of(tape *t, const tensor *x, const tensor *weight, const lora_set *l) {
    lora_shape z = {.parts = l->parts, .N = x->dim[0], .K = x->dim[1], .O = weight->dim[0]};
    if (l->parts < 0 || l->parts > LORA_PARTS)
        die("linear_lora: %d parts, expected at most %d", l->parts, LORA_PARTS);
    if (!(l->dropout >= 0 && l->dropout < 1))
        die("linear_lora: the rate is %g, expected 0 <= rate < 1", l->dropout);
    const bool drops = t->training && l->dropout > 0;
    if (drops && !l->rows) die("linear_lora: dropout without rows");
    if (l->rows) {
        tensor_expect(l->rows, "linear_lora rows", 2, (int64_t[]){z.N, 2});
        op_expect_type(l->rows, "linear_lora rows", DTYPE_I32);
    }
    if (drops) {
        z.rate = l->dropout;
        z.rows = l->rows->data;
    }
    for (int i = 0; i < l->parts; i++) {
        const lora_part *p = &l->part[i];
        expect_part(l, i, weight, t->device->type, z.R);
        z.part[i] = (lora_factors){.a = p->a->data,
                                   .b = p->b->data,
                                   .r = p->a->dim[0],
                                   .n = p->b->dim[0],
                                   .first = p->first,
                                   .at = z.R,
                                   .scale = p->scale};
        if (drops) z.part[i].key = tape_draw(t);
        z.R += z.part[i].r;
    }
    return z;
}

tensor *linear_lora(tape *t, tensor *inp, tensor *weight, tensor *bias, const lora_set *l) {
    if (l->parts == 0) return linear(t, inp, weight, bias);
    tensor *y = linear_output(t, "linear_lora", inp, weight, bias),
           *in[INPUTS] = {inp, weight, bias};
    tensor_expect(inp, "linear_lora inp", 2, (int64_t[]){-1, -1});
    lora_saved *saved = tape_keep(t, sizeof *saved);
    saved->z = shape_of(t, inp, weight, l);
    const lora_shape *z = &saved->z;
    for (int i = 0; i < z->parts; i++) {
        in[BASE + 2 * i] = l->part[i].a;
        in[BASE + 2 * i + 1] = l->part[i].b;
    }
    const bool wanted = tape_wants(t, in, BASE + 2 * z->parts);
    const size_t start = tape_scratch_begin(t);
    saved->mid = tape_tensor_of(t, dtype_wide(y->type), 2, (int64_t[]){z->N, z->R})->data;
    linear_compute(t, &saved->size, y, inp, weight, bias);
    saved->scratch = z->N ? t->device->ops->lora_scratch(z, y->type, t->device->stream) : 0;
    const size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, saved->scratch);
    if (z->N) {
        t->device->ops->lora_down(saved->mid, inp->data, z, y->type, scratch, t->device->stream);
        t->device->ops->lora_up(y->data, saved->mid, z, y->type, scratch, t->device->stream);
    }
    tape_scratch_end(t, wanted ? mark : start);
    tape_record(t, "linear_lora", linear_lora_rule, saved, &y, 1, in, BASE + 2 * z->parts);
    return y;
}
