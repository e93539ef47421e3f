// Rotary positions (Su et al. 2021, in the half-split convention of Hugging Face's LLaMA) on the
// queries and keys of a fused projection, and repeated heads of keys and values, in one pass.
//
// A row of qkv is HQ heads of queries, HK of keys and HK of values, each D wide. With pair i of a
// head its numbers i and D/2 + i, and c, s the cosine and sine of the row's position, queries and
// keys become
//   y[i] = x[i] c[i] - x[D/2 + i] s[i],   y[D/2 + i] = x[D/2 + i] c[i] + x[i] s[i];
// values are copied. Key and value head h serves query heads h G to h G + G - 1, G = HQ / HK; where
// heads are repeated, it is written for each of them.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

// A rotation's transpose is the rotation back, and a head that was written G times gets the sum:
//   dx[i] = dy[i] c[i] + dy[D/2 + i] s[i],   dx[D/2 + i] = dy[D/2 + i] c[i] - dy[i] s[i]
// with dy summed over the head's copies; values get that sum as it is.
static void rotate_heads_rule(tape *t, const tape_node *node) {
    tensor *qkv = node->in[0], *const *out = node->out;
    int acc;
    void *dqkv = tape_gradient(t, qkv, &acc);
    t->device->ops->rotate_heads_backward(
        dqkv, tape_output_gradient(out[0]), tape_output_gradient(out[1]),
        tape_output_gradient(out[2]), node->saved, acc, qkv->type, t->device->stream);
}

static heads_shape shape_of(tape *t, const tensor *qkv, const rotate_args *a) {
    const int64_t HQ = a->query_heads, HK = a->key_heads;
    tensor_expect(qkv, "rotate_heads qkv", 2, (int64_t[]){-1, -1});
    op_expect_type(qkv, "rotate_heads qkv", t->device->type);
    if (HQ < 1 || HK < 1 || HQ % HK)
        die("rotate_heads: %lld heads of queries and %lld of keys", (long long)HQ, (long long)HK);
    const int64_t N = qkv->dim[0], width = qkv->dim[1], D = width / (HQ + 2 * HK);
    if (D * (HQ + 2 * HK) != width || D % 2)
        die("rotate_heads qkv: rows of %lld are no %lld heads of an even width", (long long)width,
            (long long)(HQ + 2 * HK));
    tensor_expect(a->table, "rotate_heads table", 3, (int64_t[]){-1, D / 2, 2});
    tensor_expect(a->positions, "rotate_heads positions", 1, &N);
    op_expect_type(a->table, "rotate_heads table", dtype_wide(t->device->type));
    op_expect_type(a->positions, "rotate_heads positions", DTYPE_I32);
    return (heads_shape){N,
                         HQ,
                         HK,
                         D,
                         a->table->dim[0],
                         a->repeat ? HQ / HK : 1,
                         a->table->data,
                         a->positions->data};
}

// A position outside of the table comes from the world, not from a bug here: the CPU's kernel keeps
// it as a failure of the step.
void rotate_heads(tape *t, tensor *out[3], tensor *qkv, const rotate_args *a) {
    heads_shape *z = tape_keep(t, sizeof *z);
    *z = shape_of(t, qkv, a);
    const int64_t kept = z->HK * z->copies;
    for (int i = 0; i < 3; i++)
        out[i] = tape_tensor(t, 3, (int64_t[]){z->N, i ? kept : z->HQ, z->D});
    t->device->ops->rotate_heads_forward(out[0]->data, out[1]->data, out[2]->data, qkv->data, z,
                                         qkv->type, t->device->stream);
    tape_record(t, "rotate_heads", rotate_heads_rule, z, out, 3, &qkv, 1);
}
