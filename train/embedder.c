#include "train/embedder.h"
#include "core/files/fs.h"
#include "models/bert_weights.h"
#include "train/checkpoint.h"
#include "train/config_keys.h"

#include <stdio.h>

enum { BATCH = 32 };

void embedder_close(embedder *e) {
    if (e->inference.device) aligner_inputs_close(&e->inputs, e->inference.device);
    wordpiece_close(e->words);
    buffer_free(&e->vocabulary);
    mem_free(e->rows);
    mem_free(e->text_first);
    inference_close(&e->inference);
}

// --- the model ----------------------------------------------------------------------------------
// The weights of the Q-Former; with --set model.encoder those of an encoder that the file lacks.
static status load_weights(embedder *e) {
    inference *s = &e->inference;
    const char *encoder = config_text(s->config, "model.encoder");
    const int64_t seed = config_int(s->config, "model.projector_seed");
    char file[PATH_SIZE];
    bool whole;
    status rc = aligner_load(&s->params, s->file, &whole);
    if (!rc && *encoder) rc = checkpoint_file(file, sizeof file, encoder);
    if (!rc && *encoder) rc = aligner_load_encoder(&s->params, file);
    if (!rc && seed >= 0 && !whole)
        rc = biovil_t_fill_frozen_projector(&e->model.encoder, &s->params, aligner_encoder_prefix,
                                            (uint32_t)seed);
    if (!rc && !whole && (!*encoder || seed < 0))
        rc = status_fail(
            STATUS_USAGE,
            "%s lacks the frozen encoder and projector: name BioViL-T's weights with --set "
            "model.encoder=FILE, and how the projector was drawn with --set "
            "model.projector_seed=42",
            s->file);
    return rc;
}

// Of all weights as they were loaded, whichever files they came from; and what else the numbers
// depend on.
static status describe(embedder *e) {
    const inference *s = &e->inference;
    uint32_t crc;
    status rc = params_checksum(&crc, &s->params, "");
    snprintf(e->checkpoint, sizeof e->checkpoint, "%08x", crc);
    snprintf(e->made_by, sizeof e->made_by, "aligner, crop %lld, size %lld, %s, %s",
             (long long)config_int(s->config, "data.crop"),
             (long long)config_int(s->config, "data.size"), config_text(s->config, "model.tokens"),
             config_text(s->config, "run.precision"));
    return rc;
}

// Images alone: the batch's tables with empty texts.
static void load_tables(embedder *e, int64_t count) {
    static const int32_t none[1];
    aligner_batch_load(
        &e->inputs.batch,
        &(aligner_texts){.ids = none, .text_first = e->text_first, .own = count, .all = count});
}

static tensor *embed_batch(embedder *e) {
    tape *t = &e->inference.tape;
    tape_begin(t, false);
    t->training = false;
    tensor *tokens = aligner_tokens(t, &e->model, aligner_input(t, &e->model, &e->inputs, true));
    return aligner_embed(t, &e->model, &e->inputs.batch.contrast, tokens);
}

static status open_model(embedder *e) {
    inference *s = &e->inference;
    char path[PATH_SIZE];
    aligner_config sizes;
    status rc = inference_vocabulary(path, s);
    if (!rc) rc = vocabulary_open(&e->words, &e->vocabulary, path, true);
    if (!rc) rc = aligner_from_config(&sizes, s->config, e->words);
    if (rc) return rc;
    aligner_make(&e->model, &s->params, &sizes);
    rc = inference_allocate(s);
    if (!rc) rc = params_init(&s->params, 0);
    if (!rc) rc = aligner_fill(&e->model, &s->params);
    if (!rc) rc = load_weights(e);
    return rc ? rc : describe(e);
}

// Behind the configuration and the device; room for so many IMAGES at a time.
static status build(embedder *e, int64_t images) {
    inference *s = &e->inference;
    status rc = open_model(e);
    if (rc) return rc;
    e->batch = images;
    e->queries = e->model.config.qformer.queries;
    e->width = e->model.config.qformer.bert.width;
    const aligner_room room = {e->batch, e->batch, 2, (int)config_int(s->config, "data.size"),
                               true};
    rc = aligner_inputs_open(&e->inputs, s->device, &e->model, &room);
    if (!rc) rc = mem_new(&e->rows, e->batch * e->queries * e->width, "embeddings of a batch");
    if (!rc) rc = mem_new(&e->text_first, e->batch + 1, "a batch's texts");
    if (rc) return rc;
    load_tables(e, e->batch);
    embed_batch(e); // dry: sizes the tape
    return tape_allocate(&s->tape, tape_used(&s->tape));
}

status embedder_open(embedder *e, const arguments *a) {
    *e = (embedder){0};
    status rc = inference_open(&e->inference, a, aligner_tables);
    const config *c = e->inference.config;
    if (rc) return rc;
    return build(e, config_is_set(c, "train.batch") ? config_int(c, "train.batch") : BATCH);
}

status embedder_open_at(embedder *e, const char *path, const char *where) {
    *e = (embedder){0};
    status rc = inference_open_at(&e->inference, path, where, aligner_tables);
    return rc ? rc : build(e, 1);
}

status embedder_images(embedder *e, const batch *b) {
    inference *s = &e->inference;
    load_tables(e, b->count);
    classifier_inputs_load(&e->inputs.pixels, s->device, b, false);
    device_read(s->device, e->rows, embed_batch(e));
    return tape_failed(&s->tape);
}
