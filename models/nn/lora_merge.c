#include "models/nn/lora_merge.h"

#include <string.h>

static const param *param_of(const params *p, const tensor *x) {
    for (size_t i = 0; i < p->count; i++)
        if (&p->item[i]->value == x) return p->item[i];
    die("lora_merge: a matrix is no parameter of the model");
}

static status read_all(float **out, const params *p, const param *q) {
    status rc = mem_new(out, tensor_count(&q->value), "a matrix to be merged");
    return rc ? rc : param_read(p, q, param_block(p, q), *out);
}

// w (n, K) += scale * b (n, r) a (r, K).
static void add_product(float *w, const float *a, const float *b, int64_t n, int64_t r, int64_t K,
                        double scale) {
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < n; o++)
        for (int64_t i = 0; i < r; i++) {
            const float factor = (float)scale * b[o * r + i];
            for (int64_t k = 0; k < K; k++) w[o * K + k] += factor * a[i * K + k];
        }
}

static status add_part(const params *p, float *w, const lora_part *part, int64_t K) {
    float *a = NULL, *b = NULL;
    status rc = read_all(&a, p, param_of(p, part->a));
    if (!rc) rc = read_all(&b, p, param_of(p, part->b));
    if (!rc)
        add_product(w + part->first * K, a, b, part->b->dim[0], part->a->dim[0], K, part->scale);
    mem_free(a);
    mem_free(b);
    return rc;
}

status lora_merge(params *p, lora_linear *l) {
    const param *q = param_of(p, l->base.weight);
    float *w = NULL;
    if (!l->lora.parts) return STATUS_OK;
    if (l->base.weight->quantised)
        return status_fail(STATUS_USAGE, "%s is quantised: adapters are not merged into it",
                           q->name);
    status rc = read_all(&w, p, q);
    for (int i = 0; i < l->lora.parts && !rc; i++)
        rc = add_part(p, w, &l->lora.part[i], l->base.weight->dim[1]);
    if (!rc) rc = param_write(p, q, param_block(p, q), w);
    mem_free(w);
    if (!rc) l->lora.parts = 0;
    return rc;
}
