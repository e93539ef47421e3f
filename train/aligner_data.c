#include "train/aligner_data.h"

// --- from the configuration ---------------------------------------------------------------------
status aligner_from_config(aligner_config *out, const config *c, const wordpiece *words) {
    qformer_config *q = &out->qformer;
    *out = (aligner_config){.channel_runs = !config_choice(c, "model.tokens")};
    status rc = encoder_from_config(&out->encoder, c);
    if (!rc) rc = bert_from_config(&q->bert, c, words);
    if (rc) return rc;
    out->encoder.joint_width = q->image_width = (int)config_int(c, "model.joint_width");
    q->queries = (int)config_int(c, "model.queries");
    q->cross_every = (int)config_int(c, "model.cross_every");
    q->projection = (int)config_int(c, "model.projection");
    q->smoothing = config_float(c, "loss.smoothing");
    return STATUS_OK;
}

loader_options aligner_loader_options(const config *c, int split, bool training,
                                      const comm *ranks) {
    loader_options o = loader_from_config(c, split, training, ranks);
    o.drop_last = training && config_bool(c, "train.drop_last");
    o.section = (record_text)config_choice(c, "data.section");
    return o;
}

// --- what a step reads --------------------------------------------------------------------------
static tensor feature_tensor(const device *d, const aligner *m, int64_t rows) {
    const int64_t grid = m->encoder.grid, D = m->config.encoder.vit_width;
    return (tensor){.type = d->type, .rank = 4, .dim = {rows, grid, grid, D}};
}

static aligner_batch_limits limits_of(const aligner_room *room) {
    return (aligner_batch_limits){room->own, room->all, room->most, room->alone};
}

size_t aligner_inputs_bytes(const device *d, const aligner *m, const aligner_room *room) {
    const aligner_batch_limits limits = limits_of(room);
    const tensor features = feature_tensor(d, m, room->own);
    return classifier_inputs_bytes(room->own, room->size) + tensor_bytes(&features) +
           aligner_batch_bytes(d, m->config.qformer.queries, &limits);
}

status aligner_inputs_open(aligner_inputs *in, device *d, const aligner *m,
                           const aligner_room *room) {
    const aligner_batch_limits limits = limits_of(room);
    *in = (aligner_inputs){.features = feature_tensor(d, m, room->own)};
    status rc = classifier_inputs_open(&in->pixels, d, room->own, room->size);
    if (!rc) rc = d->take(d, tensor_bytes(&in->features), "a batch's features", &in->features.data);
    if (!rc) rc = mem_take(&in->staging, tensor_bytes(&in->features), 1, "a batch's features");
    return rc ? rc
              : aligner_batch_open(&in->batch, d, m->config.qformer.queries, m->image_tokens,
                                   &limits);
}

void aligner_inputs_close(aligner_inputs *in, device *d) {
    classifier_inputs_close(&in->pixels, d);
    d->release(d, in->features.data);
    mem_free(in->staging);
    aligner_batch_close(&in->batch);
    *in = (aligner_inputs){0};
}

status aligner_inputs_features(aligner_inputs *in, device *d, const embeddings *file,
                               const dataset *set, const int64_t *record, int64_t count) {
    tensor *x = &in->features;
    const size_t bytes = (size_t)(x->dim[1] * x->dim[2] * x->dim[3]) * dtype_size(x->type);
    status rc = STATUS_OK;
    x->dim[0] = count; // a rank may have none
    for (int64_t i = 0; i < count && !rc; i++) {
        const char *id = dataset_id(set, record[i], ID_DICOM);
        int64_t row = embeddings_find(file, id);
        if (row < 0) return status_fail(STATUS_FORMAT, "%s: has no features of %s", file->path, id);
        rc = embeddings_read((char *)in->staging + (size_t)i * bytes, file, row);
    }
    if (!rc) d->upload(d, x->data, in->staging, (size_t)count * bytes);
    return rc;
}

tensor *aligner_input(tape *t, const aligner *m, aligner_inputs *in, bool from_pixels) {
    return from_pixels ? aligner_features(t, m, classifier_images(t, &in->pixels)) : &in->features;
}
