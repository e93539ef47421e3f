// Training the findings classifier (REFERENCE 3): sigmoid cross-entropy over 14 classes with positives
// weighted by how rare they are, everything trained unless model.train_encoder is false.
#include "train/stage_classifier.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "models/classifier_weights.h"
#include "train/checkpoint.h"
#include "train/classifier_data.h"
#include "train/classifier_report.h"
#include "train/config_keys.h"

#include <math.h>
#include <string.h>

typedef struct state {
    dataset *data;
    loader *train, *validate;
    classifier model;
    classifier_inputs inputs;
    int64_t batch_size;
    bool blank;
    int64_t positives[CLASS_COUNT];
    float weight[CLASS_COUNT], mask[CLASS_COUNT];
    int counted; // classes in the loss
    // Scores of the validation split, allocated once.
    float *logits;
    uint8_t *targets;
} state;

// --- setup ---------------------------------------------------------------------------------------------
// REFERENCE 3.4. Without a positive there is nothing to weigh: 1, and out of the loss except in parity.
static double class_weight(const char *rule, int64_t rows, int64_t positives) {
    if (!positives || !strcmp(rule, "none")) return 1;
    double ratio = (double)rows / (double)positives;
    return strcmp(rule, "lin") ? log(ratio) : ratio;
}

static status print_labels(const state *s, int64_t rows) {
    table t = {0};
    buffer text = {0};
    table_column(&t, "finding");
    table_column(&t, "positive");
    table_column(&t, "of rows");
    table_column(&t, "weight");
    table_column(&t, "in the loss");
    for (int c = 0; c < CLASS_COUNT; c++) {
        table_text(&t, class_names[c]);
        table_integer(&t, s->positives[c]);
        table_number(&t, (double)s->positives[c] / (double)rows, 3);
        table_number(&t, (double)s->weight[c], 3);
        table_text(&t, s->mask[c] > 0 ? "yes" : "no: without positives");
    }
    status rc = table_write(&t, TABLE_PLAIN, &text);
    if (!rc) log_info("%s", text.data);
    table_free(&t);
    buffer_free(&text);
    return rc;
}

static status weigh_classes(run *r, state *s) {
    const char *rule = config_text(r->config, "loss.class_weights");
    bool parity = config_bool(r->config, "loss.parity");
    int64_t rows = loader_records(s->train), total = 0;
    for (int64_t i = 0; i < rows; i++) {
        const int8_t *labels = dataset_labels(s->data, loader_record(s->train, i));
        for (int c = 0; c < CLASS_COUNT; c++) s->positives[c] += labels[c] == LABEL_POSITIVE;
    }
    for (int c = 0; c < CLASS_COUNT; c++) {
        total += s->positives[c];
        s->weight[c] = (float)class_weight(rule, rows, s->positives[c]);
        s->mask[c] = parity || s->positives[c] ? 1 : 0;
        s->counted += s->mask[c] > 0;
    }
    if (!total)
        return status_fail(STATUS_TRAINING, "%s: no training record has a positive label; look at the "
                                            "label file that was given to ingest",
                           config_text(r->config, "data.shards"));
    return print_labels(s, rows);
}

static status open_data(run *r, state *s) {
    status rc = dataset_open(&s->data, config_text(r->config, "data.shards"));
    loader_options training = loader_from_config(r->config, SPLIT_TRAIN, true, r->comm);
    loader_options validation = loader_from_config(r->config, SPLIT_VALIDATE, false, r->comm);
    if (!rc) rc = loader_open(&s->train, s->data, &training);
    if (!rc) rc = loader_open(&s->validate, s->data, &validation);
    if (rc) return rc;
    int64_t rows = loader_records(s->validate);
    log_info("%lld training and %lld validation records", (long long)loader_records(s->train),
             (long long)rows);
    r->data_hash = dataset_plan(s->data);
    r->steps_per_epoch = loader_steps_per_epoch(s->train);
    rc = mem_new(&s->logits, rows * CLASS_COUNT, "validation scores");
    if (!rc) rc = mem_new(&s->targets, rows * CLASS_COUNT, "validation labels");
    if (!rc) classifier_targets(s->targets, s->validate, s->data);
    return rc;
}

// torch's usual rule: matrices and convolutions decay, vectors do not.
static void choose_decay(params *p) {
    for (size_t i = 0; i < p->count; i++) p->item[i]->decay = p->item[i]->value.rank > 1;
}

// model.init: a run, a checkpoint folder or a public file of weights.
static status begin_from(run *r) {
    char file[PATH_SIZE];
    const char *path = config_text(r->config, "model.init");
    if (!*path) return STATUS_OK;
    bool projector = !strcmp(config_text(r->config, "model.init_projector"), "file");
    status rc = checkpoint_file(file, sizeof file, path);
    return rc ? rc : classifier_load(&r->params, file, false, projector);
}

static status declare_model(run *r, state *s) {
    const config *c = r->config;
    classifier_config sizes;
    status rc = classifier_from_config(&sizes, c);
    if (rc) return rc;
    classifier_make(&s->model, &r->params, &sizes);
    bool train_encoder = config_bool(c, "model.train_encoder");
    bool batch_stats = !strcmp(config_text(c, "model.batch_norm"), "batch");
    if (!train_encoder) params_freeze(&r->params, classifier_encoder_prefix);
    s->model.encoder.trunk_batch_stats = batch_stats && train_encoder;
    s->model.encoder.projector_batch_stats = batch_stats;
    choose_decay(&r->params);
    return STATUS_OK;
}

static status build_model(run *r, state *s) {
    status rc = declare_model(r, s);
    if (!rc) rc = run_build(r);
    if (!rc) rc = classifier_fill(&s->model, &r->params);
    return rc ? rc : begin_from(r);
}

static status open_inputs(run *r, state *s) {
    int size = (int)config_int(r->config, "data.size");
    loader_options training = loader_from_config(r->config, SPLIT_TRAIN, true, r->comm);
    loader_options validation = loader_from_config(r->config, SPLIT_VALIDATE, false, r->comm);
    r->samples = s->batch_size;
    r->own_samples = comm_share(r->samples, r->comm->rank, r->comm->size, NULL);
    r->batch_bytes = classifier_inputs_bytes(r->own_samples, size);
    r->loader_bytes = loader_bytes(&training) + loader_bytes(&validation);
    if (!r->own_samples)
        return status_fail(STATUS_USAGE, "train.batch %lld leaves some of the %d ranks without work",
                           (long long)r->samples, r->comm->size);
    return classifier_inputs_open(&s->inputs, r->device, r->own_samples, size);
}

static status begin(run *r, state **out) {
    state *s;
    status rc = mem_new(&s, 1, "the classifier's stage");
    if (rc) return rc;
    r->state = *out = s;
    s->batch_size = config_int(r->config, "train.batch");
    s->blank = config_bool(r->config, "data.blank");
    tape_checkpointing(&r->tape, config_bool(r->config, "train.recompute"));
    return STATUS_OK;
}

static status setup(run *r) {
    state *s;
    status rc = begin(r, &s);
    if (!rc) rc = open_data(r, s);
    if (!rc) rc = weigh_classes(r, s);
    if (!rc) rc = build_model(r, s);
    if (!rc) rc = open_inputs(r, s);
    if (!rc) classifier_inputs_weigh(&s->inputs, r->device, s->weight, s->mask);
    return rc;
}

static status plan(run *r) {
    state *s;
    status rc = begin(r, &s);
    if (rc) return rc;
    s->counted = CLASS_COUNT;
    rc = declare_model(r, s);
    if (!rc) rc = params_allocate(&r->params);
    return rc ? rc : open_inputs(r, s);
}

// --- steps -----------------------------------------------------------------------------------------------
static status load_batch(run *r) {
    state *s = r->state;
    batch *b;
    status rc = loader_seek(s->train, r->step);
    if (!rc) rc = loader_next(s->train, &b);
    if (rc) return rc;
    run_note_batch(r, s->data, b->record, b->count);
    classifier_inputs_load(&s->inputs, r->device, b, s->blank);
    r->samples = b->global_count;
    r->own_samples = b->count;
    r->tape.first_sample = (uint32_t)b->first_sample;
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    return classifier_loss(&r->tape, &s->model, &s->inputs, (double)r->samples * (double)s->counted);
}

// The score that chooses the best checkpoint: the reference's val_f1 (3.6: the mean over batches of each
// batch's macro F1), or macro F1 over the findings that the split holds.
static status validate(run *r, buffer *out, double *score) {
    state *s = r->state;
    classify_metrics m;
    if (r->tape.device == r->tape.dry) {
        classifier_score_dry(&r->tape, &s->model, &s->inputs);
        return STATUS_OK;
    }
    int64_t rows = loader_records(s->validate);
    status rc = classifier_score(&r->tape, &s->model, s->validate, &s->inputs, s->blank, s->logits);
    if (!rc) rc = metrics_classify(&m, s->logits, s->targets, NULL, rows, CLASS_COUNT);
    if (rc) return rc;
    double val_f1 = classifier_batch_f1(s->logits, s->targets, rows, s->batch_size);
    *score = strcmp(config_text(r->config, "train.score"), "val_f1") ? m.macro_present.f1 : val_f1;
    metrics_json(out, &m, val_f1);
    return STATUS_OK;
}

static void save(const run *r, buffer *config_json) {
    config_model_json(config_json, r->config, (const config_key *const[]){image_keys, NULL},
                      (const config_key *const[]){encoder_keys, classifier_keys, NULL});
}

static void release(run *r) {
    state *s = r->state;
    loader_close(s->train);
    loader_close(s->validate);
    dataset_close(s->data);
    classifier_inputs_close(&s->inputs, r->device);
    mem_free(s->logits);
    mem_free(s->targets);
    mem_free(s);
    r->state = NULL;
}

// What was learned: the best checkpoint on the test split, beside the untrained model.
static status report(run *r) {
    state *s = r->state;
    return classifier_report(r, &s->model, s->data, &s->inputs);
}

const stage stage_classifier = {
    .name = "classifier",
    .setup = setup,
    .plan = plan,
    .batch = load_batch,
    .loss = loss,
    .validate = validate,
    .save = save,
    .free = release,
    .report = report,
};
