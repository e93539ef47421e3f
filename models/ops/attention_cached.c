// Attention of a language model that writes: each row's key and value go into a cache, and its query
// meets all that its sequence has there so far.
//
// With K, V the cache's rows of the query's sequence and key head, positions 0 to p, row by row:
//   out = softmax(q K^T / sqrt(D)) V.
// The result of a row depends on nothing but its own sequence: not on what else is in the batch, nor
// on whether positions below the prefix stand in its own slot or in a shared one. There is no
// backward pass: training has attention_rows.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

#include <math.h>

static cached_shape shape_of(tape *t, const tensor *q, const tensor *k, const tensor *v,
                             const attention_cache *c) {
    tensor_expect(q, "attention_cached q", 3, (int64_t[]){-1, -1, -1});
    const int64_t N = q->dim[0], HQ = q->dim[1], D = q->dim[2];
    tensor_expect(k, "attention_cached k", 3, (int64_t[]){N, -1, D});
    tensor_expect(v, "attention_cached v", 3, k->dim);
    tensor_expect(c->keys, "attention_cached keys", 4, (int64_t[]){-1, k->dim[1], -1, D});
    tensor_expect(c->values, "attention_cached values", 4, c->keys->dim);
    tensor_expect(c->slot, "attention_cached slot", 1, &N);
    tensor_expect(c->position, "attention_cached position", 1, &N);
    op_expect_type(q, "attention_cached q", t->device->type);
    op_expect_type(c->keys, "attention_cached keys", t->device->type);
    op_expect_type(c->values, "attention_cached values", t->device->type);
    op_expect_type(c->slot, "attention_cached slot", DTYPE_I32);
    op_expect_type(c->position, "attention_cached position", DTYPE_I32);
    return (cached_shape){
        .N = N,
        .HQ = HQ,
        .HK = k->dim[1],
        .D = D,
        .P = c->keys->dim[2],
        .slots = c->keys->dim[0],
        .most = c->most,
        .prefix = c->prefix,
        .prefix_slot = c->prefix_slot,
        .scale = 1 / sqrt((double)D),
        .slot = c->slot->data,
        .position = c->position->data,
    };
}

static void expect_sizes(const cached_shape *z) {
    if (z->HK < 1 || z->HQ % z->HK)
        die("attention_cached: %lld heads of queries and %lld of keys", (long long)z->HQ,
            (long long)z->HK);
    if (z->D < 1 || z->D > CACHED_WIDEST)
        die("attention_cached: heads of %lld, expected at most %d", (long long)z->D, CACHED_WIDEST);
    if (z->most < 1 || z->most > z->P)
        die("attention_cached: up to %lld keys, the cache has %lld", (long long)z->most,
            (long long)z->P);
    if (z->prefix < 0 || z->prefix > z->P || z->prefix_slot < 0 || z->prefix_slot >= z->slots)
        die("attention_cached: a prefix of %lld in slot %lld, the cache has %lld of %lld",
            (long long)z->prefix, (long long)z->prefix_slot, (long long)z->slots, (long long)z->P);
}

tensor *attention_cached(tape *t, tensor *q, tensor *k, tensor *v, const attention_cache *c) {
    const cached_shape z = shape_of(t, q, k, v, c);
    const struct op_kernels *ops = t->device->ops;
    expect_sizes(&z);
    if (tape_wants(t, (tensor *[]){q, k, v}, 3))
        die("attention_cached: has no backward pass, and a gradient is wanted");
    tensor *out = tape_tensor(t, 3, q->dim);
    const size_t mark = tape_scratch_begin(t);
    void *scratch = tape_scratch(t, ops->attention_cached_scratch(&z, q->type, t->device->stream));
    t->device->ops->cache_write(c->keys->data, c->values->data, k->data, v->data, &z, q->type,
                                t->device->stream);
    t->device->ops->attention_cached_forward(out->data, q->data, c->keys->data, c->values->data, &z,
                                             q->type, scratch, t->device->stream);
    tape_scratch_end(t, mark);
    return out;
}
