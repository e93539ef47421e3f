// Training the report labeler: the sum over 14 heads of the cross-entropy of their answers,
// everything trained, as CheXbert's authors did on labelled reports. Here the labels are those of
// the shards.
#include "train/stage_chexbert.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "eval/labeler.h"
#include "models/bert_weights.h"
#include "train/checkpoint.h"
#include "train/chexbert_data.h"
#include "train/config_keys.h"
#include "train/ranks.h"
#include "train/text_data.h"

#include <stdio.h>
#include <string.h>

typedef struct state {
    dataset *data;
    wordpiece *words;
    buffer vocabulary;
    text_split train, validate;
    chexbert model;
    chexbert_inputs inputs;
    const int8_t **labels; // of the batch at hand
    int64_t batch;
} state;

// --- setup --------------------------------------------------------------------------------------
static status open_data(run *r, state *s) {
    const config *c = r->config;
    status rc = dataset_open(&s->data, config_text(c, "data.shards"));
    if (!rc)
        rc = text_split_open(&s->train, s->data, NULL, c, SPLIT_TRAIN, true, r->comm, s->words,
                             TEXT_REPORT);
    if (!rc)
        rc = text_split_open(&s->validate, s->data, NULL, c, SPLIT_VALIDATE, false, r->comm,
                             s->words, TEXT_REPORT);
    if (rc) return rc;
    r->data_hash = dataset_plan(s->data);
    text_split_tell(&s->train, "training");
    text_split_tell(&s->validate, "validation");
    r->steps_per_epoch = order_steps_per_epoch(s->train.order);
    return STATUS_OK;
}

static status declare_model(run *r, state *s) {
    bert_config sizes;
    status rc = bert_from_config(&sizes, r->config, s->words);
    if (rc) return rc;
    sizes.token_types = 2;
    chexbert_make(&s->model, &r->params, &sizes);
    for (size_t i = 0; i < r->params.count; i++)
        r->params.item[i]->decay = r->params.item[i]->value.rank > 1;
    return STATUS_OK;
}

static status begin_from(run *r) {
    char file[PATH_SIZE];
    const char *path = config_text(r->config, "model.init");
    if (!*path) return STATUS_OK;
    status rc = checkpoint_file(file, sizeof file, path);
    return rc ? rc : chexbert_load(&r->params, file, false);
}

static status open_inputs(run *r, state *s) {
    const int64_t most = config_int(r->config, "data.max_tokens");
    r->samples = s->batch;
    r->own_samples = comm_share(r->samples, r->comm->rank, r->comm->size, NULL);
    if (!r->own_samples)
        return status_fail(STATUS_USAGE,
                           "train.batch %lld leaves some of the %d ranks without work",
                           (long long)r->samples, r->comm->size);
    r->batch_bytes = chexbert_inputs_bytes(r->own_samples, most);
    status rc = mem_new(&s->labels, s->batch, "a batch's labels");
    return rc ? rc : chexbert_inputs_open(&s->inputs, r->device, r->own_samples, most);
}

static status begin(run *r, state **out) {
    state *s;
    status rc = mem_new(&s, 1, "the labeler's stage");
    if (rc) return rc;
    r->state = *out = s;
    s->batch = config_int(r->config, "train.batch");
    tape_checkpointing(&r->tape, config_bool(r->config, "train.recompute"));
    return vocabulary_open(&s->words, &s->vocabulary, config_text(r->config, "model.vocabulary"),
                           false);
}

static status setup(run *r) {
    state *s;
    status rc = begin(r, &s);
    if (!rc) rc = open_data(r, s);
    if (!rc) rc = declare_model(r, s);
    if (!rc) rc = run_build(r);
    if (!rc) rc = begin_from(r);
    return rc ? rc : open_inputs(r, s);
}

static status plan(run *r) {
    state *s;
    status rc = begin(r, &s);
    if (!rc) rc = declare_model(r, s);
    if (!rc) rc = params_allocate(&r->params);
    return rc ? rc : open_inputs(r, s);
}

// --- steps --------------------------------------------------------------------------------------
static status load_batch(run *r) {
    state *s = r->state;
    text_split *texts = &s->train;
    const order_step *step = &texts->step;
    text_split_batch(texts, r->step);
    run_note_batch(r, s->data, texts->batch + step->first, step->count);
    for (int64_t i = 0; i < step->count; i++)
        s->labels[i] = dataset_labels(s->data, texts->batch[step->first + i]);
    const int64_t sample = step->first_sample + step->first;
    chexbert_inputs_load(&s->inputs, texts->ids, texts->first + step->first, step->count, sample,
                         s->labels);
    r->samples = step->global_count;
    r->own_samples = step->count;
    r->kind = s->inputs.texts.kind;
    r->tape.first_sample = (uint32_t)sample;
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    return chexbert_step_loss(&r->tape, &s->model, &s->inputs, (double)r->samples);
}

// Labels of a split beside the true ones.
static status measure(run *r, state *s, text_split *texts, labeler_metrics *out) {
    labeler_counts counts = {0};
    int8_t *labels = NULL;
    status rc = ranks_agree(r->comm, mem_new(&labels, texts->count * CLASS_COUNT, "labels"));
    if (!rc)
        rc = chexbert_label(&r->tape, &s->model, &s->inputs, texts->texts, texts->record,
                            texts->count, s->batch, labels, NULL);
    for (int64_t i = 0; i < texts->count && !rc; i++) {
        int8_t truth[CLASS_COUNT];
        chexbert_truth(truth, dataset_labels(s->data, texts->record[i]));
        rc = labeler_add(&counts, labels + i * CLASS_COUNT, truth, 1);
    }
    if (!rc) rc = labeler_measure(out, &counts);
    mem_free(labels);
    return rc;
}

// The best checkpoint has the most right labels.
static status validate(run *r, buffer *out, double *score) {
    state *s = r->state;
    labeler_metrics m;
    if (r->tape.device == r->tape.dry) {
        chexbert_label_dry(&r->tape, &s->model, &s->inputs);
        return STATUS_OK;
    }
    status rc = measure(r, s, &s->validate, &m);
    if (rc) return rc;
    *score = m.accuracy;
    labeler_json(out, &m);
    return STATUS_OK;
}

static void save(const run *r, buffer *config_json) {
    config_model_json(config_json, r->config, (const config_key *const[]){text_keys, NULL},
                      (const config_key *const[]){bert_keys, NULL});
}

static const buffer *vocabulary(const run *r) {
    return &((const state *)r->state)->vocabulary;
}

// What was learned: the best checkpoint on the test split, whose wording it has not seen.
static status report(run *r) {
    state *s = r->state;
    text_split test = {0};
    labeler_metrics m = {0};
    buffer text = {0};
    if (!dataset_split_count(s->data, SPLIT_TEST)) {
        log_info("the data has no test split: no final table");
        return STATUS_OK;
    }
    status rc = checkpoint_take_best(r);
    if (!rc)
        rc = ranks_agree(r->comm, text_split_open(&test, s->data, NULL, r->config, SPLIT_TEST, false, r->comm,
                                                  s->words, TEXT_REPORT));
    if (!rc) rc = measure(r, s, &test, &m);
    text_split_close(&test);
    if (rc || !ranks_lead(r)) return rc;
    rc = labeler_table(&text, &m, TABLE_PLAIN);
    if (!rc)
        printf("test split, %lld reports, checkpoint of step %lld:\n%s", (long long)m.count,
               (long long)(r->best.known ? r->best.step : r->step), text.data);
    text.length = 0;
    labeler_json(&text, &m);
    if (!rc) rc = run_write_scores(r, &text);
    buffer_free(&text);
    return rc;
}

static void release(run *r) {
    state *s = r->state;
    chexbert_inputs_close(&s->inputs);
    text_split_close(&s->train);
    text_split_close(&s->validate);
    wordpiece_close(s->words);
    dataset_close(s->data);
    buffer_free(&s->vocabulary);
    mem_free(s->labels);
    mem_free(s);
    r->state = NULL;
}

const stage stage_chexbert = {
    .name = "chexbert",
    .varies = true,
    .setup = setup,
    .plan = plan,
    .batch = load_batch,
    .loss = loss,
    .validate = validate,
    .save = save,
    .vocabulary = vocabulary,
    .free = release,
    .report = report,
};
