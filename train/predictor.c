#include "train/predictor.h"
#include "models/classifier_weights.h"
#include "train/config_keys.h"

enum { FILE_BATCH = 8 };

const config_key *const predictor_tables[] = {run_keys,   data_keys,    image_keys,      pixel_keys,
                                              train_keys, encoder_keys, classifier_keys, NULL};

void predictor_close(predictor *p) {
    if (p->inference.device) classifier_inputs_close(&p->inputs, p->inference.device);
    inference_close(&p->inference);
}

// Behind the configuration and the device; room for so many IMAGES at a time.
static status build(predictor *p, int64_t images) {
    classifier_config sizes;
    inference *s = &p->inference;
    status rc = classifier_from_config(&sizes, s->config);
    if (rc) return rc;
    p->crop = (int)config_int(s->config, "data.crop");
    p->size = (int)config_int(s->config, "data.size");
    p->batch = images;
    classifier_make(&p->model, &s->params, &sizes);
    rc = inference_allocate(s);
    if (!rc) rc = classifier_fill(&p->model, &s->params);
    if (!rc) rc = classifier_load(&s->params, s->file, true, true);
    if (!rc) rc = classifier_inputs_open(&p->inputs, s->device, p->batch, p->size);
    if (rc) return rc;
    classifier_score_dry(&s->tape, &p->model, &p->inputs);
    return tape_allocate(&s->tape, tape_used(&s->tape));
}

status predictor_open(predictor *p, const arguments *a) {
    *p = (predictor){0};
    status rc = inference_open(&p->inference, a, predictor_tables);
    const config *c = p->inference.config;
    if (rc) return rc;
    return build(p, config_is_set(c, "train.batch") ? config_int(c, "train.batch") : FILE_BATCH);
}

status predictor_open_at(predictor *p, const char *path, const char *where) {
    *p = (predictor){0};
    status rc = inference_open_at(&p->inference, path, where, predictor_tables);
    return rc ? rc : build(p, 1);
}

status predictor_file(predictor *p, const image_file *image, float logits[CLASS_COUNT]) {
    tape *t = &p->inference.tape;
    tape_begin(t, false);
    classifier_inputs_load(&p->inputs, t->device, &image->batch, false);
    device_read(t->device, logits, classifier_logits(t, &p->model, classifier_images(t, &p->inputs)));
    return tape_failed(t);
}
