#include "data/corrections.h"
#include "data/instruct_private.h"
#include "data/tasks.h"

#include <string.h>

status corrections_open(corrections *c, const dataset *set, int split) {
    *c = (corrections){.set = set, .split = split};
    return mem_new(&c->had, dataset_records(set), "corrections");
}

void corrections_close(corrections *c) {
    mem_free(c->list);
    mem_free(c->had);
    buffer_free(&c->texts);
    *c = (corrections){0};
}

const char *corrections_report(const corrections *c, int64_t i) {
    if (i < 0 || i >= c->count) die("corrections: %lld of %lld", (long long)i, (long long)c->count);
    return c->texts.data + c->list[i].report;
}

// What is known of X but for its text.
static status add(corrections *c, const correction *x, const char *report, bool mistaken) {
    const bool ours =
        x->record >= 0 && dataset_split_of(c->set, x->record) == c->split && !c->had[x->record];
    if (!ours) {
        c->elsewhere++;
        return STATUS_OK;
    }
    c->had[x->record] = -1;
    c->right += !mistaken;
    if (!mistaken) return STATUS_OK;
    status rc = mem_grow((void **)&c->list, &c->capacity, (size_t)c->count + 1, sizeof *c->list,
                         "corrections");
    if (rc) return rc;
    c->list[c->count] = *x;
    c->list[c->count++].report = c->texts.length;
    c->had[x->record] = c->count;
    buffer_append(&c->texts, report, strlen(report) + 1);
    return c->texts.failed;
}

int64_t corrections_find(const corrections *c, int64_t record) {
    return c->had[record] > 0 ? c->had[record] - 1 : -1;
}

status corrections_add(corrections *c, int64_t record, const char *report,
                       const int8_t said[CLASS_COUNT]) {
    correction x = {.record = record};
    const bool mistaken =
        record >= 0 && task_mistakes(x.wrong, x.missing, said, dataset_labels(c->set, record));
    return add(c, &x, report, mistaken);
}

// --- RaDialog's file ----------------------------------------------------------------------------

static status read_classes(bool set[CLASS_COUNT], bool *any, json_value object, const char *key) {
    json_value list;
    status rc = json_member(&list, object, key);
    if (!rc) rc = json_list(list);
    for (json_value v = rc ? (json_value){0} : json_first(list); v.node && !rc; v = json_next(v)) {
        const char *name;
        rc = json_text(&name, v);
        const int n = rc ? -1 : class_find(name);
        if (!rc && n < 0) rc = json_fail(v, "'%.40s' is none of the 14 observations", name);
        if (n > CLASS_NO_FINDING) *any = set[n] = true;
    }
    return rc;
}

static status read_element(corrections *c, json_value object) {
    correction x = {0};
    const char *id, *report;
    bool any = false;
    status rc = json_member_text(&id, object, "dicom");
    if (!rc) rc = json_member_text(&report, object, "pred_report");
    if (!rc) rc = read_classes(x.wrong, &any, object, "fp");
    if (!rc) rc = read_classes(x.missing, &any, object, "fn");
    if (rc) return rc;
    x.record = dataset_find(c->set, id);
    return add(c, &x, report, any);
}

status corrections_read(corrections *c, const char *path) {
    instruct_json *list;
    status rc = instruct_json_open(&list, path);
    for (int64_t i = 0; !rc && i < instruct_json_count(list); i++) {
        json *one = NULL;
        rc = instruct_json_element(&one, list, i);
        if (!rc) rc = read_element(c, json_root(one));
        json_close(one);
    }
    instruct_json_close(list);
    return rc;
}
