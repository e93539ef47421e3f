#include "train/evaluation.h"
#include "core/log.h"
#include "eval/clinical.h"
#include "eval/controls.h"
#include "train/signals.h"

#include <stdio.h>
#include <string.h>

void evaluation_close(evaluation *e) {
    for (int r = 0; r < e->runs; r++) {
        report_table_close(e->run[r].table);
        mem_free(e->run[r].text);
        mem_free(e->run[r].labels);
        mem_free(e->run[r].similarity);
        mem_free(e->run[r].bert);
    }
    mem_free(e->truth);
    mem_free(e->reference);
    buffer_free(&e->references);
    mem_free(e->record);
    *e = (evaluation){0};
}

// --- answers ------------------------------------------------------------------------------------
static status find_record(int64_t *record, const evaluated_run *r, int64_t i, const dataset *data,
                          record_text section) {
    const char *id = report_table_ids(r->table)[i];
    *record = dataset_find(data, id);
    if (*record < 0)
        return status_fail(STATUS_FORMAT, "%s:%lld: the shards have no radiograph %s", r->name,
                           (long long)report_table_line(r->table, i), id);
    if (!dataset_has_text(data, *record, section))
        return status_fail(STATUS_FORMAT, "%s:%lld: the report on %s has no such section as data.section "
                                          "names: nothing can be compared", r->name,
                           (long long)report_table_line(r->table, i), id);
    return STATUS_OK;
}

// The first file says which records there are, and in which order. PLACE (all records): each one's, or -1.
static status read_first(evaluation *e, const dataset *data, record_text section, int64_t *place) {
    evaluated_run *r = &e->run[0];
    e->count = report_table_count(r->table);
    status rc = mem_new(&e->record, e->count, "records");
    for (int64_t i = 0; i < e->count && !rc; i++) {
        rc = find_record(&e->record[i], r, i, data, section);
        if (rc) break;
        if (place[e->record[i]] >= 0)
            rc = status_fail(STATUS_FORMAT, "%s:%lld: a second answer to %s", r->name,
                             (long long)report_table_line(r->table, i), report_table_ids(r->table)[i]);
        place[e->record[i]] = i;
    }
    return rc;
}

static status place_texts(evaluation *e, evaluated_run *r, const dataset *data, record_text section,
                          const int64_t *place) {
    const int64_t lines = report_table_count(r->table);
    status rc = mem_new(&r->text, e->count, "answers");
    for (int64_t i = 0; i < lines && !rc; i++) {
        int64_t record;
        rc = find_record(&record, r, i, data, section);
        if (rc) break;
        const int64_t at = place[record];
        if (at < 0 || r->text[at])
            rc = status_fail(STATUS_FORMAT, "%s:%lld: %s %s", r->name,
                             (long long)report_table_line(r->table, i),
                             at < 0 ? "the first file has no answer to" : "a second answer to",
                             report_table_ids(r->table)[i]);
        else
            r->text[at] = report_table_texts(r->table)[i];
    }
    for (int64_t i = 0; i < e->count && !rc; i++)
        if (!r->text[i])
            rc = status_fail(STATUS_FORMAT, "%s: has no answer to %s, which %s answers", r->name,
                             report_table_ids(e->run[0].table)[i], e->run[0].name);
    return rc;
}

static status read_answers(evaluation *e, const dataset *data, record_text section,
                           const char *const *path, int runs) {
    const report_options how = {0};
    int64_t *place = NULL;
    status rc = mem_new(&place, dataset_records(data), "records");
    for (int64_t i = 0; i < dataset_records(data) && !rc; i++) place[i] = -1;
    for (int k = 0; k < runs && !rc; k++) {
        evaluated_run *r = &e->run[k];
        *r = (evaluated_run){.name = path[k]};
        e->runs = k + 1;
        rc = report_table_open(&r->table, path[k], &how);
        if (!rc && strcmp(report_table_id_name(r->table), "dicom_id"))
            rc = status_fail(STATUS_FORMAT, "%s: its answers have no dicom_id", path[k]);
        if (!rc && !k) rc = read_first(e, data, section, place);
        if (!rc) rc = place_texts(e, r, data, section, place);
    }
    mem_free(place);
    return rc;
}

// The name of a file at PATH without what comes before and behind it; false: too long to be shown.
static bool file_title(char title[64], const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    const size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    return snprintf(title, 64, "%.*s", (int)length, name) < 64;
}

// Runs whose files have one name keep their paths, cut in front.
static void title_runs(evaluation *e) {
    bool apart = true;
    for (int k = 0; k < e->runs; k++) {
        apart &= file_title(e->run[k].title, e->run[k].name);
        for (int i = 0; i < k; i++) apart &= strcmp(e->run[i].title, e->run[k].title) != 0;
    }
    for (int k = 0; k < e->runs && !apart; k++) {
        const size_t length = strlen(e->run[k].name);
        snprintf(e->run[k].title, sizeof e->run[k].title, "%s", e->run[k].name + (length > 63 ? length - 63 : 0));
    }
}

// --- reports ------------------------------------------------------------------------------------
static status read_references(evaluation *e, const dataset *data, record_text section) {
    buffer text = {0};
    status rc = mem_new(&e->reference, e->count, "reports");
    if (!rc) rc = mem_new(&e->truth, e->count * CLASS_COUNT, "labels");
    for (int64_t i = 0; i < e->count && !rc; i++) {
        rc = dataset_text(&text, data, e->record[i], section);
        if (!rc) buffer_append(&e->references, text.data, text.length);
        buffer_append(&e->references, "", 1);
        if (!rc) rc = e->references.failed;
        if (!rc) memcpy(e->truth + i * CLASS_COUNT, dataset_labels(data, e->record[i]), CLASS_COUNT);
    }
    const char *at = e->references.data;
    for (int64_t i = 0; i < e->count && !rc; i++, at += strlen(at) + 1) e->reference[i] = at;
    buffer_free(&text);
    return rc;
}

status evaluation_open(evaluation *e, const dataset *data, record_text section,
                       const char *const *path, int runs) {
    *e = (evaluation){0};
    if (runs < 1 || runs > EVALUATION_RUNS)
        return status_fail(STATUS_USAGE, "%d files of answers; 1 to %d can be compared", runs,
                           EVALUATION_RUNS);
    status rc = read_answers(e, data, section, path, runs);
    title_runs(e);
    return rc ? rc : read_references(e, data, section);
}

status evaluation_add_constant(evaluation *e) {
    int64_t index = 0;
    if (e->runs == EVALUATION_RUNS)
        return status_fail(STATUS_USAGE, "--constant: beside it, at most %d files can be compared",
                           EVALUATION_RUNS - 1);
    evaluated_run *r = &e->run[e->runs++];
    *r = (evaluated_run){.name = "the commonest report", .title = "the commonest report"};
    status rc = mem_new(&r->text, e->count, "answers");
    if (!rc) rc = control_commonest(&index, e->reference, e->count);
    for (int64_t i = 0; i < e->count && !rc; i++) r->text[i] = e->reference[index];
    return rc;
}

// --- what models say of them --------------------------------------------------------------------
// A constant report is read once.
static status label_run(evaluated_run *r, int64_t count, report_labeler *l, const float *reference) {
    const int64_t texts = r->table ? count : 1, D = report_labeler_width(l);
    float *vectors = NULL;
    status rc = mem_new(&r->labels, count * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&r->similarity, count, "similarities");
    if (!rc) rc = mem_new(&vectors, count * D, "vectors of reports");
    if (!rc) rc = report_labeler_texts(l, r->text, texts, r->labels, vectors);
    for (int64_t i = texts; i < count && !rc; i++) {
        memcpy(r->labels + i * CLASS_COUNT, r->labels, CLASS_COUNT);
        memcpy(vectors + i * D, vectors, (size_t)D * sizeof *vectors);
    }
    if (!rc) rc = clinical_similarity(r->similarity, vectors, reference, count, (int)D);
    mem_free(vectors);
    return rc;
}

status evaluation_label(evaluation *e, report_labeler *l, bool read_truth) {
    int8_t *read = NULL;
    float *vectors = NULL;
    status rc = mem_new(&read, e->count * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&vectors, e->count * report_labeler_width(l), "vectors of reports");
    if (!rc) rc = report_labeler_texts(l, e->reference, e->count, read, vectors);
    if (!rc && read_truth) memcpy(e->truth, read, (size_t)e->count * CLASS_COUNT);
    for (int k = 0; k < e->runs && !rc; k++) rc = label_run(&e->run[k], e->count, l, vectors);
    mem_free(vectors);
    mem_free(read);
    return rc;
}

// So many records at a time: all runs' answers to them are scored in one call, which computes a report once.
enum { BERT_RECORDS = 128 };

static status bert_records(evaluation *e, bert_score *b, int64_t first, int64_t count) {
    const char **text = NULL, **reference = NULL;
    bert_triple *score = NULL;
    status rc = mem_new(&text, count * e->runs, "answers");
    if (!rc) rc = mem_new(&reference, count * e->runs, "reports");
    if (!rc) rc = mem_new(&score, count * e->runs, "scores");
    for (int64_t i = 0; i < count * e->runs && !rc; i++) {
        text[i] = e->run[i / count].text[first + i % count];
        reference[i] = e->reference[first + i % count];
    }
    if (!rc) rc = bert_score_pairs(b, score, text, reference, count * e->runs);
    for (int64_t i = 0; i < count * e->runs && !rc; i++) e->run[i / count].bert[first + i % count] = score[i].f1;
    mem_free(score);
    mem_free(reference);
    mem_free(text);
    return rc;
}

status evaluation_bert(evaluation *e, bert_score *b) {
    progress bar;
    status rc = STATUS_OK;
    for (int k = 0; k < e->runs && !rc; k++) rc = mem_new(&e->run[k].bert, e->count, "scores");
    if (rc) return rc;
    progress_begin(&bar, "BERTScore", "reports", e->count, 0);
    for (int64_t at = 0; at < e->count && !rc; at += BERT_RECORDS) {
        rc = bert_records(e, b, at, e->count - at < BERT_RECORDS ? e->count - at : BERT_RECORDS);
        if (!rc && signals_pending())
            rc = status_fail(STATUS_INTERRUPTED, "stopped by signal %d while reports were scored; none was written",
                             signals_pending());
        if (!rc) progress_update(&bar, at + BERT_RECORDS < e->count ? at + BERT_RECORDS : e->count, NULL);
    }
    progress_end(&bar);
    if (!rc && bert_score_cut(b))
        log_warn("BERTScore: %lld texts are longer than its model reads: their ends were not scored",
                 (long long)bert_score_cut(b));
    return rc;
}
