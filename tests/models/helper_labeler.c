#include "tests/models/helper_labeler.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

const bert_config labeler_config = {.vocabulary = 64,
                                  .positions = 16,
                                  .token_types = 2,
                                  .width = 32,
                                  .layers = 2,
                                  .heads = 2,
                                  .inner = 64};

void labeler_open_on(labeler *l, device *d, const bert_config *c, int64_t B, int64_t most) {
    memset(l, 0, sizeof *l);
    reference_begin(&l->base, d);
    chexbert_make(&l->model, &l->base.params, c);
    status rc = params_allocate(&l->base.params);
    for (int h = 0; h < CHEXBERT_HEADS; h++) {
        l->target[h] = (tensor){.type = DTYPE_I32, .rank = 1, .dim = {B}};
        l->each[h] = &l->target[h];
    }
    if (!rc) rc = packed_texts_open(&l->texts, d, B, most);
    if (!rc) rc = packed_open(&l->targets, d, l->each, CHEXBERT_HEADS);
    if (rc) die("%s", status_text());
    reference_fill(&l->base);
}

void labeler_open(labeler *l, bool oracle, const bert_config *c, int64_t B, int64_t most) {
    labeler_open_on(l, reference_device(oracle), c, B, most);
}

void labeler_close(labeler *l) {
    packed_close(&l->targets);
    packed_texts_close(&l->texts);
    reference_close(&l->base);
}

void labeler_load(labeler *l, int step, bool with_filler) {
    int32_t ids[BERT_MOST * BERT_LONGEST], first[BERT_MOST + 1];
    char name[64];
    l->count = bert_texts(step, labeler_config.vocabulary, ids, first);
    l->texts.steps = with_filler;
    packed_texts_load(&l->texts, ids, first, l->count, 0);
    ck_assert(l->texts.ids.dim[0] > first[l->count] || !with_filler);
    for (int h = 0; h < CHEXBERT_HEADS; h++) {
        snprintf(name, sizeof name, "step.%d.target.%d", step, h);
        l->target[h].dim[0] = l->count;
        for (int i = 0; i < l->count; i++)
            packed_host(&l->targets, &l->target[h])[i] =
                (int32_t)(reference_uniform(name, i) * chexbert_answers(h));
    }
    packed_send(&l->targets);
}

tensor *labeler_loss(reference_model *m, void *context) {
    labeler *l = context;
    return chexbert_loss(&m->tape, &l->model, &l->texts, l->each, l->count);
}

tensor *labeler_logits(reference_model *m, void *context) {
    labeler *l = context;
    chexbert_logits(&m->tape, &l->model, &l->texts, l->logits);
    return l->logits[0];
}
