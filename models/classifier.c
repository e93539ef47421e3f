#include "models/classifier.h"

static const char *const prefix = "biovil_encoder";
const char *const classifier_encoder_prefix = "biovil_encoder.encoder.";

void classifier_make(classifier *m, params *p, const classifier_config *c) {
    m->config = *c;
    biovil_t_make(&m->encoder, p, prefix, &c->encoder);
    int64_t side = m->encoder.grid / c->pool;
    if (side < 1) die("classifier_make: a grid of %d cannot be pooled by %d", m->encoder.grid, c->pool);
    int64_t features = c->encoder.joint_width * side * side;
    m->fc1 = linear_make(p, "fc1", features, c->hidden, true, init_torch_default(features));
    m->fc2 = linear_make(p, "fc2", c->hidden, c->classes, true, init_torch_default(c->hidden));
}

status classifier_fill(const classifier *m, params *p) {
    return biovil_t_fill(&m->encoder, p, prefix);
}

tensor *classifier_head(tape *t, const classifier *m, tensor *projected) {
    tensor *h = channels_first(t, avg_pool2d(t, projected, m->config.pool, m->config.pool));
    h = tape_view(t, h, 2, (int64_t[]){h->dim[0], h->dim[1] * h->dim[2] * h->dim[3]});
    return linear_run(t, &m->fc2, relu(t, linear_run(t, &m->fc1, h)));
}

tensor *classifier_logits(tape *t, const classifier *m, tensor *image) {
    tensor *patches = biovil_t_patches(t, &m->encoder, image, NULL);
    return classifier_head(t, m, biovil_t_project(t, &m->encoder, patches));
}
