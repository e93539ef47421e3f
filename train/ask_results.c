#include "train/ask_results.h"
#include "core/files/fs.h"
#include "data/json_lines.h"
#include "eval/table.h"

#include <stdio.h>
#include <string.h>

// --- lines --------------------------------------------------------------------------------------
status ask_results_line(const ask_prompts *p, const char *text, buffer *line) {
    bool positive[CLASS_COUNT];
    const char *before = "";
    if (p->task == TASK_CPBQA)
        buffer_print(line, ",\"says\":\"%s\"", answer_says_yes(text) ? "yes" : "no");
    if (p->task != TASK_CPAQA) return line->failed;
    answer_names(positive, text);
    buffer_text(line, ",\"findings\":[");
    for (int c = 0; c < CLASS_COUNT; c++) {
        if (!positive[c]) continue;
        buffer_text(line, before);
        buffer_json(line, class_names[c]);
        before = ",";
    }
    buffer_text(line, "]");
    return line->failed;
}

// The answer to the next prompt, borrowed until the next call.
static status next_text(const char **text, json_lines *l) {
    bool more;
    status rc = json_lines_next(l, &more);
    if (!rc && !more)
        rc =
            status_fail(STATUS_FORMAT, "%s: an answer is missing behind line %d", l->path, l->line);
    return rc ? rc : json_member_text(text, json_root(l->object), "text");
}

// --- findings -----------------------------------------------------------------------------------
// What the answer to prompt I says, among what is known of its record.
static status read_answer(bool positive[CLASS_COUNT], const ask_prompts *p, int64_t i,
                          json_lines *l) {
    const char *text;
    status rc = next_text(&text, l);
    if (rc) return rc;
    if (p->task == TASK_CPBQA)
        positive[p->finding[i]] = answer_says_yes(text);
    else
        answer_names(positive, text);
    return STATUS_OK;
}

// POSITIVE (records, CLASS_COUNT), all false.
static status read_answers(bool *positive, const ask_prompts *p, const char *path) {
    json_lines l;
    status rc = json_lines_open(&l, path);
    for (int64_t i = 0; i < p->prompts.count && !rc; i++)
        rc = read_answer(positive + p->record[i] * CLASS_COUNT, p, i, &l);
    for (int64_t i = 0; i < p->records && p->task == TASK_CPBQA; i++)
        answers_settle(positive + i * CLASS_COUNT);
    json_lines_close(&l);
    return rc;
}

static status read_all(int8_t *said, int8_t *truth, const ask_prompts *p, const char *path) {
    bool *positive = NULL;
    status rc = mem_new(&positive, p->records * CLASS_COUNT, "answers");
    if (!rc) rc = read_answers(positive, p, path);
    for (int64_t i = 0; i < p->records && !rc; i++)
        memcpy(truth + i * CLASS_COUNT, dataset_labels(p->set, p->in_set[i]), CLASS_COUNT);
    for (int64_t i = 0; i < p->records * CLASS_COUNT && !rc; i++)
        said[i] = positive[i] ? LABEL_POSITIVE : LABEL_NEGATIVE;
    mem_free(positive);
    return rc;
}

static status measure(ask_scores *out, const double *row, const interval_options *how) {
    double sum[CLINICAL_STATISTICS] = {0};
    const statistics s = {out->records, CLINICAL_STATISTICS, row};
    const score_set set = {FINDINGS_SCORES, findings_score_of, NULL};
    for (int64_t i = 0; i < out->records * CLINICAL_STATISTICS; i++)
        sum[i % CLINICAL_STATISTICS] += row[i];
    clinical_measure(&out->classes, sum, out->records, CLINICAL_POSITIVE);
    return interval_measure(out->score, &s, &set, how);
}

status ask_scores_measure(ask_scores *out, const ask_prompts *p, const char *path,
                          const interval_options *how) {
    const int64_t n = p->records;
    int8_t *said = NULL, *truth = NULL;
    double *row = NULL;
    *out = (ask_scores){.records = n};
    status rc = mem_new(&said, n * CLASS_COUNT, "answers");
    if (!rc) rc = mem_new(&truth, n * CLASS_COUNT, "labels");
    if (!rc) rc = mem_new(&row, n * CLINICAL_STATISTICS, "statistics");
    if (!rc) rc = read_all(said, truth, p, path);
    if (!rc) rc = clinical_statistics(row, said, truth, n, CLINICAL_POSITIVE);
    if (!rc) rc = measure(out, row, how);
    mem_free(said);
    mem_free(truth);
    mem_free(row);
    return rc;
}

static status show_classes(const ask_scores *s, buffer *out) {
    table t = {0};
    table_column(&t, "finding");
    table_column(&t, "there");
    table_column(&t, "said");
    table_column(&t, "both");
    table_column(&t, "F1");
    for (int c = 0; c < CLASS_COUNT; c++) {
        const clinical_class *x = &s->classes.per_class[c];
        table_text(&t, class_names[c]);
        table_integer(&t, x->support);
        table_integer(&t, x->predicted);
        table_integer(&t, x->matched);
        table_number(&t, x->score.f1, 3);
    }
    status rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

status ask_scores_show(const ask_scores *s, buffer *out) {
    table t = {0};
    char text[64];
    status rc = show_classes(s, out);
    buffer_print(out, "\n");
    table_column(&t, "records");
    for (int i = 0; i < FINDINGS_AUC_ALL; i++) table_column(&t, findings_score_names[i]);
    table_integer(&t, s->records);
    for (int i = 0; i < FINDINGS_AUC_ALL; i++) {
        const interval *x = &s->score[i];
        snprintf(text, sizeof text, "%.3f (%.3f to %.3f)", x->value, x->low, x->high);
        table_text(&t, text);
    }
    if (!rc) rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}

void ask_scores_json(const ask_scores *s, const ask_prompts *p, buffer *out) {
    buffer_print(out, "{\"task\":\"%s\",\"records\":%lld,\"scores\":{", task_names[p->task],
                 (long long)s->records);
    for (int i = 0; i < FINDINGS_SCORES; i++) {
        const double x[] = {s->score[i].value, s->score[i].low, s->score[i].high};
        buffer_print(out, "%s\"%s\":[", i ? "," : "", findings_score_keys[i]);
        for (int k = 0; k < 3; k++) {
            buffer_text(out, k ? "," : "");
            buffer_json_number(out, x[k]);
        }
        buffer_text(out, "]");
    }
    buffer_text(out, "},\"classes\":{");
    for (int c = 0; c < CLASS_COUNT; c++) {
        const clinical_class *x = &s->classes.per_class[c];
        buffer_print(
            out, "%s\"%s\":{\"there\":%lld,\"said\":%lld,\"both\":%lld,\"f1\":", c ? "," : "",
            class_names[c], (long long)x->support, (long long)x->predicted, (long long)x->matched);
        buffer_json_number(out, x->score.f1);
        buffer_text(out, "}");
    }
    buffer_text(out, "}}\n");
}

// --- corrections --------------------------------------------------------------------------------
static void print_report(buffer *out, const char *id, const char *text, bool strip) {
    static const char space[] = " \t\r\n\v\f";
    buffer part = {0};
    if (strip) text += strspn(text, space);
    size_t length = strlen(text);
    while (strip && length && strchr(space, text[length - 1])) length--;
    buffer_append(&part, text, length);
    buffer_text(out, "{\"dicom_id\":");
    buffer_json(out, id);
    buffer_text(out, ",\"text\":");
    buffer_json(out, part.data);
    buffer_text(out, "}\n");
    if (part.failed) out->failed = part.failed;
    buffer_free(&part);
}

status ask_corrected_write(const char *out, const ask_prompts *p, const char *path,
                           int64_t *corrected) {
    buffer all = {0};
    json_lines l;
    status rc = json_lines_open(&l, path);
    *corrected = 0;
    for (int64_t i = 0; i < p->records && !rc; i++) {
        const bool asked = *corrected < p->prompts.count && p->record[*corrected] == i;
        const char *text = p->report[i];
        if (asked) rc = next_text(&text, &l);
        if (rc) break;
        print_report(&all, dataset_id(p->set, p->in_set[i], ID_DICOM), text, asked);
        *corrected += asked;
        rc = all.failed;
    }
    json_lines_close(&l);
    if (!rc) rc = file_write(out, all.data, all.length);
    buffer_free(&all);
    return rc;
}
