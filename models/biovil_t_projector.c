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

// What the projector's parts begin with: drawn where there is a FAN_IN, by torch's default for weights
// and bias alike, U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)); else VALUE.
typedef struct beginning {
    const char *name;
    const tensor *x;
    int fan_in;
    float value;
} beginning;

static status fill(params *p, const char *prefix, const beginning *b, mt19937 *g) {
    char name[NAME_SIZE];
    const int64_t count = tensor_count(b->x);
    const double bound = b->fan_in ? 1 / sqrt((double)b->fan_in) : 0;
    float *values;
    status rc = mem_new(&values, count, "a projector");
    if (rc) return rc;
    if (b->fan_in) mt19937_uniform(g, values, count, -bound, bound);
    for (int64_t i = 0; i < count && !b->fan_in; i++) values[i] = b->value;
    rc = param_fill(p, name_in(name, prefix, b->name), values);
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
    const batch_norm_layer *norm = &m->project_bn;
    const beginning parts[] = {{"projector.model.0.weight", m->project1.weight, 2 * c->vit_width, 0},
                               {"projector.model.3.weight", m->project2.weight, c->joint_width, 0},
                               {"projector.model.3.bias", m->project2.bias, c->joint_width, 0},
                               {"projector.model.1.weight", norm->weight, 0, 1},
                               {"projector.model.1.bias", norm->bias, 0, 0},
                               {"projector.model.1.running_mean", norm->running_mean, 0, 0},
                               {"projector.model.1.running_var", norm->running_var, 0, 1}};
    status rc = STATUS_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !rc; i++)
        rc = fill(p, prefix, &parts[i], &g);
    return rc;
}
