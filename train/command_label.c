// radialog label: what reports say of the 14 observations, by a CheXbert of ours or the public one,
// as a table that ingest reads (REFERENCE 0.1, stage B).
#include "core/files/fs.h"
#include "core/files/staged_file.h"
#include "core/log.h"
#include "data/order.h"
#include "data/report_table.h"
#include "eval/labeler.h"
#include "train/commands.h"
#include "train/config_keys.h"
#include "train/report_labeler.h"
#include "train/settings.h"

#include <stdio.h>

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

// OUT without a path: to stdout.
static status give(staged_file *out, const char *id_name, const char *const *id,
                   const int8_t *labels, int64_t count) {
    buffer text = {0};
    status rc = label_table_print(&text, id_name, id, labels, count);
    if (!rc && out->path) rc = staged_write(out, text.data, text.length);
    if (!rc && out->path) rc = staged_finish(out);
    if (!rc && !out->path && fwrite(text.data, 1, text.length, stdout) != text.length)
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

static status label_records(report_labeler *l, const dataset *data, const int64_t *record, int64_t count,
                            staged_file *out) {
    const text_options how = report_labeler_reading(l);
    text_set *texts = NULL;
    const char **id = NULL;
    int8_t *labels = NULL;
    status rc =
        texts_open(&texts, data, record, count,
                   (record_text)config_choice(l->inference.config, "data.section"), l->words, &how);
    if (!rc) rc = mem_new(&labels, count * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&id, count, "dicom_ids");
    if (!rc) rc = report_labeler_label(l, texts, record, count, labels, NULL);
    for (int64_t i = 0; i < count && !rc; i++) id[i] = dataset_id(data, record[i], ID_DICOM);
    if (!rc) rc = give(out, "dicom_id", id, labels, count);
    if (!rc) rc = compare(data, record, labels, count);
    mem_free(id);
    mem_free(labels);
    texts_close(texts);
    return rc;
}

static status label_shards(report_labeler *l, const arguments *a, const char *path, staged_file *out) {
    const int need = config_choice(l->inference.config, "data.section");
    dataset *data = NULL;
    int64_t *all = NULL, total = 0;
    int only;
    status rc = settings_split(&only, a, SPLITS_ALL);
    if (!rc) rc = dataset_open(&data, path);
    if (!rc) rc = mem_new(&all, dataset_records(data), "records");
    for (int k = 0; k < SPLIT_COUNT && !rc; k++) {
        int64_t *some = NULL, count = 0;
        if (only >= 0 && k != only) continue;
        rc = order_list(&some, &count, data, k, need, 0);
        for (int64_t i = 0; i < count && !rc; i++) all[total++] = some[i];
        mem_free(some);
    }
    if (!rc && !total)
        rc = status_fail(STATUS_FORMAT,
                         "%s: no record there has the section that data.section names", path);
    if (!rc) rc = label_records(l, data, all, total, out);
    mem_free(all);
    dataset_close(data);
    return rc;
}

// --- files --------------------------------------------------------------------------------------
static status label_file(report_labeler *l, const arguments *a, const char *path, staged_file *out) {
    const report_options how = {argument(a, "column"), argument_given(a, "headerless")};
    report_table *reports = NULL;
    int8_t *labels = NULL;
    status rc = report_table_open(&reports, path, &how);
    const int64_t count = rc ? 0 : report_table_count(reports);
    if (!rc) rc = mem_new(&labels, count * CLASS_COUNT, "labels");
    if (!rc) rc = report_labeler_texts(l, report_table_texts(reports), count, labels, NULL);
    if (!rc)
        rc = give(out, report_table_id_name(reports), report_table_ids(reports), labels, count);
    mem_free(labels);
    report_table_close(reports);
    return rc;
}

static status label(const arguments *a) {
    report_labeler l = {0};
    staged_file out = {0};
    const char *path = a->positional[0];
    if (a->positionals != 1)
        return status_fail(STATUS_USAGE,
                           "one shard directory or one file of reports at a time; %d were given",
                           a->positionals);
    // Whether the table can be written is known before hours of work.
    status rc = argument(a, "out") ? staged_open(&out, argument(a, "out")) : STATUS_OK;
    if (!rc) rc = report_labeler_open(&l, a, chexbert_tables);
    if (!rc)
        rc = folder_exists(path) ? label_shards(&l, a, path, &out) : label_file(&l, a, path, &out);
    staged_close(&out);
    report_labeler_close(&l);
    return rc;
}

const command command_label = {
    .name = "label",
    .positional = "SHARDS|REPORTS",
    .summary = "labels of reports in shards, .csv, .jsonl or .txt, as the table that ingest reads",
    .options = options,
    .run = label,
    .tables = chexbert_tables,
};
