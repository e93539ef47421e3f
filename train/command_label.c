// radialog label: what reports say of the 14 observations, by a CheXbert of ours or the public one,
// as a table that ingest reads (REFERENCE 0.1, stage B).
#include "core/files/fs.h"
#include "core/log.h"
#include "data/report_table.h"
#include "eval/labeler.h"
#include "models/bert_weights.h"
#include "train/chexbert_data.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/inference.h"
#include "train/settings.h"
#include "train/signals.h"
#include "train/text_data.h"

#include <stdio.h>
#include <string.h>

static const option options[] = {
    OPTION_CHECKPOINT,
    {"out", "FILE", "the table of labels, CSV (default: stdout)"},
    {"split", "NAME", "of a shard directory: train, validate, test or all (default all)"},
    {"column", "NAME",
     "of a table, or key of JSON lines, that holds the report (default: findings, Report "
     "Impression, "
     "report or text)"},
    {"headerless", NULL, "the table has no header: its first column is the report"},
    {0},
};

enum { BATCH = 32 };

typedef struct labeler {
    inference inference;
    wordpiece *words;
    buffer vocabulary;
    chexbert model;
    chexbert_inputs inputs;
    int64_t batch;
} labeler;

static void labeler_close(labeler *l) {
    chexbert_inputs_close(&l->inputs);
    wordpiece_close(l->words);
    buffer_free(&l->vocabulary);
    inference_close(&l->inference);
}

static status labeler_open(labeler *l, const arguments *a) {
    inference *s = &l->inference;
    char path[PATH_SIZE];
    bert_config sizes;
    status rc = inference_open(s, a, chexbert_tables);
    if (!rc) rc = inference_vocabulary(path, s);
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

static text_options reading(const labeler *l) {
    const config *c = l->inference.config;
    return (text_options){.rule = TEXT_REPORT,
                          .most = (int)config_int(c, "data.max_tokens"),
                          .threads = (int)config_int(c, "data.threads")};
}

// LABELS (COUNT, CLASS_COUNT) of the texts of RECORD.
static status label_texts(labeler *l, const text_set *texts, const int64_t *record, int64_t count,
                          int8_t *labels) {
    if (texts_truncated(texts))
        log_warn("%lld of %lld reports are longer than data.max_tokens: their ends were not read",
                 (long long)texts_truncated(texts), (long long)count);
    status rc = STATUS_OK;
    for (int64_t at = 0; at < count && !rc; at += l->batch) {
        const int64_t some = count - at < l->batch ? count - at : l->batch;
        if (signals_pending())
            return status_fail(STATUS_INTERRUPTED,
                               "stopped by signal %d after %lld of %lld reports; none was written",
                               signals_pending(), (long long)at, (long long)count);
        rc = chexbert_label(&l->inference.tape, &l->model, &l->inputs, texts, record + at, some,
                            l->batch, labels + at * CLASS_COUNT);
    }
    return rc;
}

static status give(const char *out, const char *id_name, const char *const *id,
                   const int8_t *labels, int64_t count) {
    buffer text = {0};
    if (out) return label_table_write(out, id_name, id, labels, count);
    status rc = label_table_print(&text, id_name, id, labels, count);
    if (!rc && fwrite(text.data, 1, text.length, stdout) != text.length)
        rc = status_fail(STATUS_IO, "cannot write the labels");
    buffer_free(&text);
    return rc;
}

// --- shards -------------------------------------------------------------------------------------
// How the labels compare with those that the shards hold.
static status compare(const dataset *data, const int64_t *record, const int8_t *labels,
                      int64_t count) {
    labeler_counts counts = {0};
    labeler_metrics m;
    status rc = STATUS_OK;
    for (int64_t i = 0; i < count && !rc; i++) {
        int8_t truth[CLASS_COUNT];
        chexbert_truth(truth, dataset_labels(data, record[i]));
        rc = labeler_add(&counts, labels + i * CLASS_COUNT, truth, 1);
    }
    if (!rc) rc = labeler_measure(&m, &counts);
    if (!rc)
        log_info("%lld reports; of the labels that the shards hold %.2f %% are the same, positive "
                 "F1 %.3f",
                 (long long)count, 100 * m.accuracy, m.mean_f1[LABELER_POSITIVE]);
    return rc;
}

static status label_records(labeler *l, const dataset *data, const int64_t *record, int64_t count,
                            const char *out) {
    const text_options how = reading(l);
    text_set *texts = NULL;
    const char **id = NULL;
    int8_t *labels = NULL;
    status rc =
        texts_open(&texts, data, record, count,
                   (record_text)config_choice(l->inference.config, "data.section"), l->words, &how);
    if (!rc) rc = mem_new(&labels, count * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&id, count, "dicom_ids");
    if (!rc) rc = label_texts(l, texts, record, count, labels);
    for (int64_t i = 0; i < count && !rc; i++) id[i] = dataset_id(data, record[i], ID_DICOM);
    if (!rc) rc = give(out, "dicom_id", id, labels, count);
    if (!rc) rc = compare(data, record, labels, count);
    mem_free(id);
    mem_free(labels);
    texts_close(texts);
    return rc;
}

static status label_shards(labeler *l, const arguments *a, const char *path, const char *out) {
    const char *split = argument(a, "split");
    const int need = config_choice(l->inference.config, "data.section");
    dataset *data = NULL;
    int64_t *all = NULL, total = 0;
    int found = 0;
    status rc = dataset_open(&data, path);
    if (!rc) rc = mem_new(&all, dataset_records(data), "records");
    for (int k = 0; k < SPLIT_COUNT && !rc; k++) {
        int64_t *some = NULL, count = 0;
        if (split && strcmp(split, "all") && strcmp(split, split_names[k])) continue;
        found++;
        rc = order_list(&some, &count, data, k, need, 0);
        for (int64_t i = 0; i < count && !rc; i++) all[total++] = some[i];
        mem_free(some);
    }
    if (!rc && !found)
        rc =
            status_fail(STATUS_USAGE, "--split %s; there are train, validate, test and all", split);
    if (!rc && !total)
        rc = status_fail(STATUS_FORMAT,
                         "%s: no record there has the section that data.section names", path);
    if (!rc) rc = label_records(l, data, all, total, out);
    mem_free(all);
    dataset_close(data);
    return rc;
}

// --- files --------------------------------------------------------------------------------------
static status label_file(labeler *l, const arguments *a, const char *path, const char *out) {
    const report_options options_of_file = {argument(a, "column"), argument_given(a, "headerless")};
    const text_options how = reading(l);
    report_table *reports = NULL;
    text_set *texts = NULL;
    int64_t *record = NULL;
    int8_t *labels = NULL;
    status rc = report_table_open(&reports, path, &options_of_file);
    const int64_t count = rc ? 0 : report_table_count(reports);
    if (!rc) rc = texts_open_list(&texts, report_table_texts(reports), count, l->words, &how);
    if (!rc) rc = mem_new(&labels, count * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&record, count, "reports");
    for (int64_t i = 0; i < count && !rc; i++) record[i] = i;
    if (!rc) rc = label_texts(l, texts, record, count, labels);
    if (!rc)
        rc = give(out, report_table_id_name(reports), report_table_ids(reports), labels, count);
    mem_free(record);
    mem_free(labels);
    texts_close(texts);
    report_table_close(reports);
    return rc;
}

static status label(const arguments *a) {
    labeler l = {0};
    const char *path = a->positional[0], *out = argument(a, "out");
    if (a->positionals != 1)
        return status_fail(STATUS_USAGE,
                           "one shard directory or one file of reports at a time; %d were given",
                           a->positionals);
    status rc = labeler_open(&l, a);
    if (!rc)
        rc = folder_exists(path) ? label_shards(&l, a, path, out) : label_file(&l, a, path, out);
    labeler_close(&l);
    return rc;
}

static status help_keys(buffer *out) {
    return settings_help(out, chexbert_tables);
}

const command command_label = {
    .name = "label",
    .positional = "SHARDS|REPORTS",
    .summary = "labels of reports in shards, .csv, .jsonl or .txt, as the table that ingest reads",
    .options = options,
    .configured = true,
    .run = label,
    .keys = help_keys,
};
