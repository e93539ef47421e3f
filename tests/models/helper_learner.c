#include "tests/models/helper_learner.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { BEGIN = LEARNER_VOCABULARY, QUERIES = 8, GRID = 3 };
const char *const part_names[PARTS] = {"itc", "itm", "lm", "sum"};
const char *const layout_names[LAYOUTS] = {"alone", "as among ranks", "with filler"};

const aligner_config learner_config = {
    .encoder = {.image_size = 32 * GRID,
                .stem = 4,
                .stages = 1,
                .width = {4},
                .blocks = {1},
                .vit_width = 16,
                .pooler_blocks = 1,
                .pooler_heads = 2,
                .joint_width = 24},
    .qformer = {.bert = {.vocabulary = LEARNER_VOCABULARY + 1,
                         .positions = 16,
                         .width = 32,
                         .layers = LEARNER_LAYERS,
                         .heads = 2,
                         .inner = 64},
                .queries = QUERIES,
                .image_width = 24,
                .cross_every = 2,
                .projection = 16,
                .smoothing = 0.1},
    .channel_runs = true,
};

void learner_make(learner *l, device *d, const aligner_config *c, const aligner_batch_limits *most) {
    memset(l, 0, sizeof *l);
    reference_begin(&l->base, d);
    params *p = &l->base.params;
    aligner_make(&l->model, p, c);
    params_freeze(p, aligner_encoder_prefix);
    status rc = params_allocate(p);
    if (!rc) rc = aligner_fill(&l->model, p);
    if (!rc) rc = aligner_batch_open(&l->batch, d, c->qformer.queries, l->model.image_tokens, most);
    if (rc) die("%s", status_text());
}

void learner_open_on(learner *l, device *d, layout how) {
    const aligner_batch_limits most = {
        .own = BERT_MOST, .all = BERT_MOST, .most = BERT_LONGEST, .alone = how != RANKS};
    learner_make(l, d, &learner_config, &most);
    l->batch.steps = how == STEPPED;
    reference_fill(&l->base);
}

void learner_open(learner *l, bool oracle, layout how) {
    learner_open_on(l, reference_device(oracle), how);
}

void learner_close(learner *l) {
    aligner_batch_close(&l->batch);
    reference_close(&l->base);
}

// --- inputs -------------------------------------------------------------------------------------
// For each sample another one.
static void draw_others(int32_t *others, const char *kind, int step, int count) {
    char name[64];
    snprintf(name, sizeof name, "step.%d.negative_%s", step, kind);
    for (int i = 0; i < count; i++)
        others[i] = (i + 1 + (int32_t)(reference_uniform(name, i) * (count - 1))) % count;
}

void learner_load(learner *l, int step) {
    int32_t ids[BERT_MOST * BERT_LONGEST], first[BERT_MOST + 1], image[BERT_MOST], text[BERT_MOST];
    l->step = step;
    l->count = bert_texts(step, LEARNER_VOCABULARY, ids, first);
    draw_others(image, "image", step, l->count);
    draw_others(text, "text", step, l->count);
    aligner_batch_load(&l->batch, &(aligner_texts){.ids = ids,
                                                   .text_first = first,
                                                   .wrong_image = image,
                                                   .wrong_text = text,
                                                   .own = l->count,
                                                   .all = l->count,
                                                   .begin = BEGIN});
}

tensor *learner_features(learner *l) {
    tape *t = &l->base.tape;
    const biovil_t *encoder = &l->model.encoder;
    tensor *x = tape_tensor(t, 4, (int64_t[]){l->count, encoder->grid, encoder->grid, encoder->config.vit_width});
    char name[64], *values;
    int64_t n = tensor_count(x);
    if (t->device == t->dry) return x;
    snprintf(name, sizeof name, "step.%d.image", l->step);
    double *given = l->inputs ? golden_tensor(l->inputs, "image", -1, &n) : NULL;
    ck_assert_int_eq(n, tensor_count(x));
    if (mem_take((void **)&values, tensor_bytes(x), 1, name)) die("%s", status_text());
    for (int64_t i = 0; i < n; i++)
        element_put(values, i, given ? given[i] : reference_uniform(name, i) * 2 - 1, x->type);
    mem_free(given);
    t->device->upload(t->device, x->data, values, tensor_bytes(x));
    t->device->wait(t->device);
    mem_free(values);
    return x;
}

tensor *learner_loss(reference_model *m, void *context) {
    learner *l = context;
    aligner_losses *x = &l->losses;
    aligner_loss(&m->tape, &l->model, &l->batch, learner_features(l), x);
    tensor *const loss[PARTS] = {x->contrast, x->match, x->caption, x->sum};
    return loss[l->part];
}
