// Training the aligner: image-text contrast, matching and captioning, summed (REFERENCE 4.5), on
// images whose frozen encoder is run once (train/features.c) unless its input changes from epoch to
// epoch.
#include "train/stage_aligner.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "models/bert_weights.h"
#include "train/aligner_score.h"
#include "train/checkpoint.h"
#include "train/config_keys.h"
#include "train/ranks.h"

#include <stdio.h>
#include <string.h>

typedef struct state {
    dataset *data;
    wordpiece *words;
    buffer vocabulary;
    int32_t begin; // [DEC]
    text_split train, validate;
    aligner_images images, validation_images;
    aligner model;
    aligner_inputs inputs;
    bool from_pixels; // the encoder runs in every step
} state;

// --- setup --------------------------------------------------------------------------------------
// Images and texts of a split, in the same order.
static status open_split(run *r, state *s, int split, bool training, text_split *texts,
                         aligner_images *images) {
    const config *c = r->config;
    loader_options options = aligner_loader_options(c, split, training, r->comm);
    *images = (aligner_images){.data = s->data, .blank = config_bool(c, "data.blank")};
    status rc = loader_open(&images->loader, s->data, &options);
    return rc ? rc
              : text_split_open(texts, s->data, images->loader, c, split, training, r->comm,
                                s->words, TEXT_CAPTION);
}

static status open_data(run *r, state *s) {
    status rc = dataset_open(&s->data, config_text(r->config, "data.shards"));
    if (!rc) rc = open_split(r, s, SPLIT_TRAIN, true, &s->train, &s->images);
    if (!rc) rc = open_split(r, s, SPLIT_VALIDATE, false, &s->validate, &s->validation_images);
    if (rc) return rc;
    r->data_hash = dataset_plan(s->data);
    text_split_tell(&s->train, "training");
    text_split_tell(&s->validate, "validation");
    r->steps_per_epoch = order_steps_per_epoch(s->train.order);
    return STATUS_OK;
}

// REFERENCE 4.8: as LAVIS' get_optimizer_params: what has two dimensions decays, but for names that
// have "bias", "ln" or "bn" in them.
static void choose_decay(params *p) {
    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->item[i]->name;
        p->item[i]->decay = p->item[i]->file_rank > 1 && !strstr(name, "bias") &&
                            !strstr(name, "ln") && !strstr(name, "bn");
    }
}

static status declare_model(run *r, state *s) {
    aligner_config sizes;
    status rc = aligner_from_config(&sizes, r->config, s->words);
    if (rc) return rc;
    aligner_make(&s->model, &r->params, &sizes);
    params_freeze(&r->params, aligner_encoder_prefix);
    choose_decay(&r->params);
    return STATUS_OK;
}

// What the model begins as: first by chance, then the Q-Former, the encoder and the projector as
// the configuration says.
static status begin_from(run *r, state *s) {
    const config *c = r->config;
    const char *start = config_text(c, "model.init"), *encoder = config_text(c, "model.encoder");
    const int64_t seed = config_int(c, "model.projector_seed");
    char file[PATH_SIZE];
    bool whole = false;
    status rc = qformer_copy_query_parts(&r->params);
    if (!rc && *start) rc = checkpoint_file(file, sizeof file, start);
    if (!rc && *start) rc = aligner_load(&r->params, file, &whole);
    if (!rc && *encoder) rc = checkpoint_file(file, sizeof file, encoder);
    if (!rc && *encoder) rc = aligner_load_encoder(&r->params, file);
    if (!rc && seed >= 0)
        rc = biovil_t_fill_frozen_projector(&s->model.encoder, &r->params, aligner_encoder_prefix,
                                            (uint32_t)seed);
    if (!rc && !*encoder && !whole)
        log_warn("the encoder begins at random and stays so: name BioViL-T's weights or a "
                 "classifier's checkpoint "
                 "as model.encoder");
    return rc;
}

static status open_inputs(run *r, state *s) {
    const config *c = r->config;
    const int64_t all = config_int(c, "train.batch");
    r->samples = all;
    r->own_samples = comm_share(all, r->comm->rank, r->comm->size, NULL);
    if (!r->own_samples || all < 2)
        return status_fail(STATUS_USAGE, "train.batch %lld: %s", (long long)all,
                           all < 2 ? "contrast needs at least two samples"
                                   : "leaves some ranks without work");
    const aligner_room room = {r->own_samples, all, config_int(c, "data.max_tokens"),
                               (int)config_int(c, "data.size"), r->comm->size == 1};
    const loader_options training = aligner_loader_options(c, SPLIT_TRAIN, true, r->comm);
    r->batch_bytes = aligner_inputs_bytes(r->device, &s->model, &room);
    r->loader_bytes = 2 * loader_bytes(&training);
    return aligner_inputs_open(&s->inputs, r->device, &s->model, &room);
}

static status begin(run *r, state **out) {
    state *s;
    const config *c = r->config;
    status rc = mem_new(&s, 1, "the aligner's stage");
    if (rc) return rc;
    r->state = *out = s;
    s->from_pixels = config_bool(c, "data.augment") || !strcmp(config_text(c, "data.cache"), "off");
    tape_checkpointing(&r->tape, config_bool(c, "train.recompute"));
    rc = vocabulary_open(&s->words, &s->vocabulary, config_text(c, "model.vocabulary"), true);
    if (!rc) s->begin = wordpiece_id(s->words, "[DEC]");
    return rc;
}

static status setup(run *r) {
    state *s;
    status rc = begin(r, &s);
    if (!rc) rc = open_data(r, s);
    if (!rc) rc = declare_model(r, s);
    if (!rc) rc = run_build(r);
    if (!rc) rc = aligner_fill(&s->model, &r->params);
    if (!rc) rc = begin_from(r, s);
    return rc ? rc : open_inputs(r, s);
}

static status plan(run *r) {
    state *s;
    status rc = begin(r, &s);
    if (!rc) rc = declare_model(r, s);
    if (!rc) rc = params_allocate(&r->params);
    return rc ? rc : open_inputs(r, s);
}

// --- features -----------------------------------------------------------------------------------
static status open_features(run *r, state *s, int split, aligner_images *images) {
    const config *c = r->config;
    const char *folder = config_text(c, "data.cache");
    const feature_source source = {s->data, split, (int)config_int(c, "data.crop"),
                                   (int)config_int(c, "data.size"), images->blank};
    loader_options options = aligner_loader_options(c, split, false, r->comm);
    loader *l = NULL;
    if (split == SPLIT_TRAIN) options.limit = config_int(c, "data.limit");
    status rc = ranks_agree(r->comm, loader_open(&l, s->data, &options));
    if (!rc)
        rc = features_open(&images->file, *folder ? folder : r->dir, &r->tape, &s->model,
                           &r->params, l, &s->inputs, &source);
    loader_close(l);
    if (rc) return rc;
    loader_close(images->loader); // from now on pixels are not read
    images->loader = NULL;
    return STATUS_OK;
}

static status ready(run *r) {
    state *s = r->state;
    if (s->from_pixels) return STATUS_OK;
    status rc = open_features(r, s, SPLIT_TRAIN, &s->images);
    return rc ? rc : open_features(r, s, SPLIT_VALIDATE, &s->validation_images);
}

// --- steps --------------------------------------------------------------------------------------
static status load_batch(run *r) {
    state *s = r->state;
    const order_step *step = &s->train.step;
    status rc = aligner_step_load(&s->inputs, r->device, &s->images, &s->train, r->step, r->config,
                                  s->begin);
    if (rc) return rc;
    run_note_batch(r, s->data, s->train.batch + step->first, step->count);
    r->samples = step->global_count;
    r->own_samples = step->count;
    r->kind = s->inputs.batch.kind;
    r->tape.first_sample = (uint32_t)(step->first_sample + step->first);
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    aligner_losses l;
    aligner_loss(&r->tape, &s->model, &s->inputs.batch,
                 aligner_input(&r->tape, &s->model, &s->inputs, s->from_pixels), &l);
    r->part[0] = l.contrast;
    r->part[1] = l.match;
    r->part[2] = l.caption;
    return l.sum;
}

// The best checkpoint has the smallest loss.
static status validate(run *r, buffer *out, double *score) {
    state *s = r->state;
    aligner_scores scores;
    if (r->tape.device == r->tape.dry) {
        aligner_score_dry(&r->tape, &s->model, &s->inputs, s->from_pixels);
        if (!s->from_pixels) features_dry(&r->tape, &s->model, &s->inputs, r->samples);
        return STATUS_OK;
    }
    status rc = aligner_score(&scores, &r->tape, &s->model, &s->inputs, &s->validation_images,
                              &s->validate, r->config, s->begin);
    if (rc) return rc;
    *score = -scores.loss;
    aligner_scores_json(out, &scores);
    return STATUS_OK;
}

static void save(const run *r, buffer *config_json) {
    config_model_json(config_json, r->config,
                      (const config_key *const[]){image_keys, text_keys, NULL},
                      (const config_key *const[]){encoder_keys, bert_keys, aligner_keys, NULL});
}

static const buffer *vocabulary(const run *r) {
    return &((const state *)r->state)->vocabulary;
}

// --- the end ------------------------------------------------------------------------------------
static status score_test(run *r, state *s, aligner_scores *out) {
    text_split texts = {0};
    aligner_images images = {0};
    status rc = open_split(r, s, SPLIT_TEST, false, &texts, &images);
    rc = ranks_agree(r->comm, rc);
    if (!rc && !s->from_pixels) rc = open_features(r, s, SPLIT_TEST, &images);
    if (!rc)
        rc = aligner_score(out, &r->tape, &s->model, &s->inputs, &images, &texts, r->config,
                           s->begin);
    embeddings_close(images.file);
    loader_close(images.loader);
    text_split_close(&texts);
    return rc;
}

// What was learned: the best checkpoint on the test split.
static status report(run *r) {
    state *s = r->state;
    aligner_scores scores;
    buffer text = {0};
    if (!dataset_split_count(s->data, SPLIT_TEST)) {
        log_info("the data has no test split: no final table");
        return STATUS_OK;
    }
    status rc = checkpoint_take_best(r);
    if (!rc) rc = score_test(r, s, &scores);
    if (rc || !ranks_lead(r)) return rc;
    rc = aligner_scores_table(&text, &scores);
    if (!rc)
        printf("test split, %lld pairs, checkpoint of step %lld:\n%sloss %.4f (contrast %.4f, "
               "match %.4f, caption %.4f), "
               "match decided with balanced accuracy %.3f\n",
               (long long)scores.count, (long long)(r->best.known ? r->best.step : r->step),
               text.data, scores.loss, scores.contrast, scores.match, scores.caption,
               scores.decision.balanced_accuracy);
    text.length = 0;
    aligner_scores_json(&text, &scores);
    if (!rc) rc = run_write_scores(r, &text);
    buffer_free(&text);
    return rc;
}

static void release(run *r) {
    state *s = r->state;
    aligner_images *const images[] = {&s->images, &s->validation_images};
    for (int i = 0; i < 2; i++) {
        embeddings_close(images[i]->file);
        loader_close(images[i]->loader);
    }
    aligner_inputs_close(&s->inputs, r->device);
    text_split_close(&s->train);
    text_split_close(&s->validate);
    wordpiece_close(s->words);
    dataset_close(s->data);
    buffer_free(&s->vocabulary);
    mem_free(s);
    r->state = NULL;
}

static const char *const parts[] = {"itc", "itm", "lm", NULL};

const stage stage_aligner = {
    .name = "aligner",
    .varies = true,
    .parts = parts,
    .setup = setup,
    .plan = plan,
    .ready = ready,
    .batch = load_batch,
    .loss = loss,
    .validate = validate,
    .save = save,
    .vocabulary = vocabulary,
    .free = release,
    .report = report,
};
