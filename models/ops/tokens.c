// Sequences side by side and parts of them: y = [a, b] along the tokens, y = x[:, first : first +
// count].
#include "models/ops/ops.h"

// A part of each sample's elements: N from OFFSET on, of TOTAL.
typedef struct token_part {
    int64_t n, total, offset;
} token_part;

// da, db = the parts of dy.
static void concat_tokens_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0];
    const token_part *part = node->saved;
    for (int i = 0; i < 2; i++) {
        int acc;
        void *dx = tape_gradient(t, node->in[i], &acc);
        if (dx)
            t->device->ops->take_tokens(dx, tape_output_gradient(y), y->dim[0], part[i].n,
                                        part[i].total, part[i].offset, acc, y->type,
                                        t->device->stream);
    }
}

tensor *concat_tokens(tape *t, tensor *a, tensor *b) {
    tensor_expect(a, "concat_tokens a", 3, (int64_t[]){-1, -1, -1});
    tensor_expect(b, "concat_tokens b", 3, (int64_t[]){a->dim[0], -1, a->dim[2]});
    int64_t B = a->dim[0], tokens = a->dim[1] + b->dim[1], D = a->dim[2];
    token_part *part = tape_keep(t, 2 * sizeof *part);
    part[0] = (token_part){a->dim[1] * D, tokens * D, 0};
    part[1] = (token_part){b->dim[1] * D, tokens * D, a->dim[1] * D};
    tensor *y = tape_tensor(t, 3, (int64_t[]){B, tokens, D}), *in[] = {a, b};
    for (int i = 0; i < 2; i++)
        t->device->ops->put_tokens(y->data, in[i]->data, B, part[i].n, part[i].total,
                                   part[i].offset, 0, y->type, t->device->stream);
    tape_record(t, "concat_tokens", concat_tokens_rule, part, &y, 1, in, 2);
    return y;
}

// dx = dy at the part's place, 0 elsewhere; a part of a weight is a weight, with a wide gradient.
static void slice_tokens_rule(tape *t, const tape_node *node) {
    tensor *y = node->out[0], *x = node->in[0];
    const token_part *part = node->saved;
    int acc;
    void *dx = tape_weight_gradient(t, x, &acc);
    if (!acc) t->device->zero(t->device, dx, (size_t)tensor_count(x) * dtype_size(x->grad->type));
    t->device->ops->put_tokens(dx, tape_output_gradient(y), y->dim[0], part->n, part->total,
                               part->offset, acc, x->grad->type, t->device->stream);
}

tensor *slice_tokens(tape *t, tensor *inp, int64_t first, int64_t count) {
    tensor_expect(inp, "slice_tokens inp", 3, (int64_t[]){-1, -1, -1});
    int64_t B = inp->dim[0], T = inp->dim[1], D = inp->dim[2];
    if (first < 0 || count < 0 || first > T - count)
        die("slice_tokens: %lld tokens from %lld on, of %lld", (long long)count, (long long)first,
            (long long)T);
    token_part *part = tape_keep(t, sizeof *part);
    *part = (token_part){count * D, T * D, first * D};
    tensor *y = tape_tensor(t, 3, (int64_t[]){B, count, D});
    t->device->ops->take_tokens(y->data, inp->data, B, part->n, part->total, part->offset, 0,
                                y->type, t->device->stream);
    tape_record(t, "slice_tokens", slice_tokens_rule, part, &y, 1, &inp, 1);
    if (y->grad) y->grad->type = inp->grad->type;
    return y;
}
