// The random projector that was never saved: regenerated from torch's generator. See biovil_t.h.
#include "models/biovil_t.h"

#include <math.h>

// What constructing the public encoder draws before its projector, in this order; each float takes
// one output of the generator, whichever distribution it is drawn from.
enum {
    CONVOLUTIONS = 23454912, // of ResNet-50: drawn by the default rule, then again by He's
    CLASSIFIER = 2048 * 1000 + 1000,
    PROBE = 3 * 448 * 448, // an image that only asks for a width
    TO_POOLER = 2048 * 256,
    POOLER = 3 * (6 * 256 * 256 + 3 * 256), // matrices and biases, by the default rule
    TYPES = 2 * 256,
    POOLER_AGAIN = 3 * 6 * 256 * 256, // matrices, from a truncated normal
    MISSING = 256,
    SKIPPED = 2 * CONVOLUTIONS + CLASSIFIER + PROBE + TO_POOLER + POOLER + TYPES + POOLER_AGAIN +
              MISSING + PROBE,
};

static bool is_public(const biovil_t_config *c) {
    for (int s = 0; s < 4; s++)
        if (c->width[s] != 64 << s || c->blocks[s] != (int[]){3, 4, 6, 3}[s]) return false;
    return c->stages == 4 && c->stem == 64 && c->vit_width == 256 && c->pooler_blocks == 3;
}

static param *find(const params *p, const char *prefix, const char *name) {
    char full[NAME_SIZE];
    param *q = params_find(p, name_in(full, prefix, name));
    if (!q) die("biovil_t_fill_frozen_projector: there is no %s", full);
    return q;
}

// torch's default: U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)), weights and bias alike.
static status fill_uniform(params *p, const char *prefix, const char *name, mt19937 *g,
                           double fan_in) {
    const param *q = find(p, prefix, name);
    int64_t count = tensor_count(&q->value);
    float *values;
    status rc = mem_new(&values, count, q->name);
    if (rc) return rc;
    mt19937_uniform(g, values, count, -1 / sqrt(fan_in), 1 / sqrt(fan_in));
    rc = param_write(p, q, param_block(p, q), values);
    mem_free(values);
    return rc;
}

static status fill_constant(params *p, const char *prefix, const char *name, float value) {
    const param *q = find(p, prefix, name);
    int64_t count = tensor_count(&q->value);
    float *values;
    status rc = mem_new(&values, count, q->name);
    if (rc) return rc;
    for (int64_t i = 0; i < count; i++) values[i] = value;
    rc = param_write(p, q, param_block(p, q), values);
    mem_free(values);
    return rc;
}

status biovil_t_fill_frozen_projector(const biovil_t *m, params *p, const char *prefix,
                                      uint32_t seed) {
    const biovil_t_config *c = &m->config;
    mt19937 g;
    if (!is_public(c))
        return status_fail(STATUS_USAGE,
                           "the aligner's frozen projector exists for the public BioViL-T encoder "
                           "only: use its sizes, or train a projector");
    mt19937_seed(&g, seed);
    for (int32_t i = 0; i < SKIPPED; i++) mt19937_next(&g);
    status rc = fill_uniform(p, prefix, "projector.model.0.weight", &g, 2 * c->vit_width);
    if (!rc) rc = fill_uniform(p, prefix, "projector.model.3.weight", &g, c->joint_width);
    if (!rc) rc = fill_uniform(p, prefix, "projector.model.3.bias", &g, c->joint_width);
    if (!rc) rc = fill_constant(p, prefix, "projector.model.1.weight", 1);
    if (!rc) rc = fill_constant(p, prefix, "projector.model.1.bias", 0);
    if (!rc) rc = fill_constant(p, prefix, "projector.model.1.running_mean", 0);
    if (!rc) rc = fill_constant(p, prefix, "projector.model.1.running_var", 1);
    return rc;
}
