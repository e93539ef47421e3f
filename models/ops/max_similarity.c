// The similarity of an image, which has Q embeddings, and a text, which has one: the largest of Q
// dot products (BLIP-2, Li et al. 2023, section 3.1). The products are made and compared in single
// precision (or double, on the oracle) whatever the embeddings' type, and none of them is stored.
#include "models/ops/op_checks.h"
#include "models/ops/ops.h"

typedef struct similarity_saved {
    int32_t *winner; // (N, M): which q; the first of equals
    similarity_shape z;
} similarity_saved;

// y[n, m] = x[n, q(n, m)] . w[m] with the winner q, which a small change leaves what it is, so
//   dx[n, q] = sum over the m with q(n, m) = q of dy[n, m] w[m],
//   dw[m]    = sum over n of dy[n, m] x[n, q(n, m)].
static void max_similarity_rule(tape *t, const tape_node *node) {
    tensor *images = node->in[0], *texts = node->in[1];
    const similarity_saved *saved = node->saved;
    int acc_images, acc_texts;
    void *dimages = tape_gradient(t, images, &acc_images);
    void *dtexts = tape_gradient(t, texts, &acc_texts);
    t->device->ops->max_similarity_backward(dimages, dtexts, tape_output_gradient(node->out[0]),
                                            images->data, texts->data, saved->winner, &saved->z,
                                            acc_images, acc_texts, images->type, t->device->stream);
}

tensor *max_similarity(tape *t, tensor *images, tensor *texts, bool by_text) {
    tensor_expect(images, "max_similarity images", 3, (int64_t[]){-1, -1, -1});
    tensor_expect(texts, "max_similarity texts", 2, (int64_t[]){-1, images->dim[2]});
    op_expect_type(images, "max_similarity images", t->device->type);
    op_expect_type(texts, "max_similarity texts", t->device->type);
    similarity_shape z = {images->dim[0], images->dim[1], texts->dim[0], images->dim[2], by_text};
    if (z.Q < 1) die("max_similarity images: no embedding to an image");
    const int64_t dim[2] = {by_text ? z.M : z.N, by_text ? z.N : z.M};
    tensor *y = tape_tensor_of(t, dtype_wide(t->device->type), 2, dim);
    similarity_saved *saved = tape_keep(t, sizeof *saved);
    *saved = (similarity_saved){tape_tensor_of(t, DTYPE_I32, 2, (int64_t[]){z.N, z.M})->data, z};
    t->device->ops->max_similarity_forward(y->data, saved->winner, images->data, texts->data,
                                           &saved->z, images->type, t->device->stream);
    tape_record(t, "max_similarity", max_similarity_rule, saved, &y, 1, (tensor *[]){images, texts},
                2);
    return y;
}
