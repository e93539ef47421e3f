#include "data/explanations.h"
#include "data/json_lines.h"
#include "data/tasks.h"

#include <string.h>

const char *const diagnosis_names[DIAGNOSIS_COUNT] = {"Atelectasis",
                                                      "Consolidation",
                                                      "Edema",
                                                      "Enlarged Cardiomediastinum",
                                                      "Lung Lesion",
                                                      "Lung Opacity",
                                                      "Pleural Effusion",
                                                      "Pleural Other",
                                                      "Pneumonia",
                                                      "Pneumothorax"};

typedef struct entry {
    size_t study, text; // places in the texts
    uint16_t diagnoses;
} entry;

struct explanations {
    buffer texts; // a NUL behind each
    entry *list;
    size_t count, capacity;
    uint32_t crc;
};

static status read_diagnoses(uint16_t *out, json_value object) {
    json_value list;
    int i = 0;
    status rc = json_member(&list, object, "diagnosis_label");
    if (!rc) rc = json_list(list);
    *out = 0;
    if (!rc && json_count(list) != DIAGNOSIS_COUNT)
        rc = json_fail(list, "must have %d numbers", DIAGNOSIS_COUNT);
    for (json_value v = rc ? (json_value){0} : json_first(list); v.node && !rc;
         v = json_next(v), i++) {
        double number = 0;
        rc = json_number(&number, v);
        if (number > 0) *out |= (uint16_t)(1u << i);
    }
    return rc;
}

static status add_line(explanations *e, json_value object) {
    entry x = {0};
    const char *study, *text;
    status rc = json_member_text(&study, object, "report_ID");
    if (!rc) rc = json_member_text(&text, object, "nle");
    if (!rc) rc = read_diagnoses(&x.diagnoses, object);
    if (rc) return rc;
    study += *study == 's';
    if (!*study || !*text) return json_fail(object, "has no study or explains nothing");
    x.study = e->texts.length;
    buffer_append(&e->texts, study, strlen(study) + 1);
    x.text = e->texts.length;
    buffer_append(&e->texts, text, strlen(text) + 1);
    rc = mem_grow((void **)&e->list, &e->capacity, e->count + 1, sizeof *e->list, "explanations");
    if (!rc) e->list[e->count++] = x;
    return rc ? rc : e->texts.failed;
}

static status read_all(explanations *e, const char *path) {
    json_lines lines;
    bool more = true;
    status rc = json_lines_open(&lines, path);
    if (!rc) e->crc = json_lines_checksum(&lines);
    while (!rc) {
        rc = json_lines_next(&lines, &more);
        if (rc || !more) break;
        rc = add_line(e, json_root(lines.object));
    }
    json_lines_close(&lines);
    if (!rc && !e->count)
        rc = status_fail(STATUS_FORMAT, "%s: there is no explanation in it", path);
    return rc;
}

status explanations_open(explanations **out, const char *path) {
    explanations *e = NULL;
    *out = NULL;
    status rc = mem_new(&e, 1, "explanations");
    if (rc) return rc;
    rc = read_all(e, path);
    if (rc)
        explanations_close(e);
    else
        *out = e;
    return rc;
}

void explanations_close(explanations *e) {
    if (!e) return;
    buffer_free(&e->texts);
    mem_free(e->list);
    mem_free(e);
}

int64_t explanations_count(const explanations *e) {
    return (int64_t)e->count;
}

uint32_t explanations_checksum(const explanations *e) {
    return e->crc;
}

explanation explanations_at(const explanations *e, int64_t i) {
    if (i < 0 || (size_t)i >= e->count) die("explanations: %lld of %zu", (long long)i, e->count);
    const entry *x = &e->list[i];
    return (explanation){e->texts.data + x->study, e->texts.data + x->text, x->diagnoses};
}

void explanation_names(buffer *out, const explanation *x) {
    const char *name[DIAGNOSIS_COUNT];
    int count = 0;
    for (int i = 0; i < DIAGNOSIS_COUNT; i++)
        if (x->diagnoses >> i & 1) name[count++] = diagnosis_names[i];
    task_names_join(out, name, count);
}
