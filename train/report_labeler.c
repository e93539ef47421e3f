#include "train/report_labeler.h"
#include "core/files/fs.h"
#include "core/log.h"
#include "models/bert_weights.h"
#include "train/config_keys.h"
#include "train/signals.h"
#include "train/text_data.h"

enum { BATCH = 32 };

void report_labeler_close(report_labeler *l) {
    chexbert_inputs_close(&l->inputs);
    wordpiece_close(l->words);
    buffer_free(&l->vocabulary);
    inference_close(&l->inference);
}

// Behind the configuration and the device.
static status build(report_labeler *l) {
    inference *s = &l->inference;
    char path[PATH_SIZE];
    bert_config sizes;
    status rc = inference_vocabulary(path, s);
    if (!rc) rc = vocabulary_open(&l->words, &l->vocabulary, path, false);
    if (!rc) rc = bert_from_config(&sizes, s->config, l->words);
    if (rc) return rc;
    sizes.token_types = 2;
    chexbert_make(&l->model, &s->params, &sizes);
    rc = inference_allocate(s);
    if (!rc) rc = chexbert_load(&s->params, s->file, true);
    l->batch =
        config_is_set(s->config, "train.batch") ? config_int(s->config, "train.batch") : BATCH;
    if (!rc)
        rc = chexbert_inputs_open(&l->inputs, s->device, l->batch,
                                  config_int(s->config, "data.max_tokens"));
    if (rc) return rc;
    chexbert_label_dry(&s->tape, &l->model, &l->inputs);
    return tape_allocate(&s->tape, tape_used(&s->tape));
}

status report_labeler_open(report_labeler *l, const arguments *a, const config_key *const *tables) {
    *l = (report_labeler){0};
    status rc = inference_open(&l->inference, a, tables);
    return rc ? rc : build(l);
}

status report_labeler_open_at(report_labeler *l, const char *path, const char *where) {
    *l = (report_labeler){0};
    status rc = inference_open_at(&l->inference, path, where, chexbert_tables);
    return rc ? rc : build(l);
}

int64_t report_labeler_width(const report_labeler *l) {
    return l->model.bert.config.width;
}

text_options report_labeler_reading(const report_labeler *l) {
    const config *c = l->inference.config;
    return (text_options){.rule = TEXT_REPORT,
                          .most = (int)config_int(c, "data.max_tokens"),
                          .threads = (int)config_int(c, "data.threads")};
}

status report_labeler_label(report_labeler *l, const text_set *texts, const int64_t *record, int64_t count,
                            int8_t *labels, float *vectors) {
    const int64_t D = report_labeler_width(l);
    if (texts_truncated(texts))
        log_warn("%lld of %lld reports are longer than data.max_tokens: their ends were not read",
                 (long long)texts_truncated(texts), (long long)count);
    status rc = STATUS_OK;
    for (int64_t at = 0; at < count && !rc; at += l->batch) {
        const int64_t some = count - at < l->batch ? count - at : l->batch;
        if (!l->patient && signals_pending())
            return status_fail(STATUS_INTERRUPTED,
                               "stopped by signal %d after %lld of %lld reports; none was written",
                               signals_pending(), (long long)at, (long long)count);
        rc = chexbert_label(&l->inference.tape, &l->model, &l->inputs, texts, record + at, some,
                            l->batch, labels + at * CLASS_COUNT, vectors ? vectors + at * D : NULL);
    }
    return rc;
}

status report_labeler_texts(report_labeler *l, const char *const *text, int64_t count, int8_t *labels,
                            float *vectors) {
    const text_options how = report_labeler_reading(l);
    text_set *texts = NULL;
    int64_t *record = NULL;
    status rc = texts_open_list(&texts, text, count, l->words, &how);
    if (!rc) rc = mem_new(&record, count ? count : 1, "reports");
    for (int64_t i = 0; i < count && !rc; i++) record[i] = i;
    if (!rc) rc = report_labeler_label(l, texts, record, count, labels, vectors);
    mem_free(record);
    texts_close(texts);
    return rc;
}
