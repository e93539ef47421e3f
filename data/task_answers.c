#include "data/task_answers.h"
#include "data/json_lines.h"

#include <string.h>

typedef struct entry {
    const char *text; // (length): of its line
    uint32_t length;
    int32_t line;
    task_answer is;
} entry;

struct task_answers {
    char *path;
    json_lines lines;
    entry *list;
    size_t count, capacity;
    int64_t elsewhere;
    uint32_t crc;
};

static status check_line(task *t, const char **id, json_value object) {
    const char *name, *text;
    status rc = json_member_text(&name, object, "task");
    if (!rc) rc = json_member_text(id, object, "dicom_id");
    if (!rc) rc = json_member_text(&text, object, "prompt");
    if (!rc && !*text) rc = json_fail(object, "asks nothing");
    if (!rc) rc = json_member_text(&text, object, "text");
    if (rc) return rc;
    const int found = task_find(name);
    if (found < 0 || found == TASK_RG)
        return json_fail(object, "is an answer of the unknown task %.20s", name);
    *t = (task)found;
    return found == TASK_CO ? json_member_text(&text, object, "report") : STATUS_OK;
}

static status add_line(task_answers *a, const dataset *set, int split) {
    const json_lines *l = &a->lines;
    const char *id;
    task t;
    status rc = check_line(&t, &id, json_root(l->object));
    if (rc) return rc;
    const int64_t record = dataset_find(set, id);
    if (record < 0 || dataset_split_of(set, record) != split) {
        a->elsewhere++;
        return STATUS_OK;
    }
    if (l->length > INT32_MAX)
        return status_fail(STATUS_FORMAT, "%s:%d: the line is too long", a->path, l->line);
    rc = mem_grow((void **)&a->list, &a->capacity, a->count + 1, sizeof *a->list, "answers");
    if (!rc) a->list[a->count++] = (entry){l->text, (uint32_t)l->length, l->line, {t, record}};
    return rc;
}

static status read_all(task_answers *a, const dataset *set, int split) {
    bool more = true;
    status rc = json_lines_open(&a->lines, a->path);
    if (!rc) a->crc = json_lines_checksum(&a->lines);
    while (!rc) {
        rc = json_lines_next(&a->lines, &more);
        if (rc || !more) break;
        rc = add_line(a, set, split);
    }
    if (!rc && !a->count && !a->elsewhere)
        rc = status_fail(STATUS_FORMAT, "%s: there is no answer in it", a->path);
    return rc;
}

status task_answers_open(task_answers **out, const char *path, const dataset *set, int split) {
    task_answers *a = NULL;
    *out = NULL;
    status rc = mem_new(&a, 1, "answers");
    if (rc) return rc;
    rc = mem_string(&a->path, path);
    if (!rc) rc = read_all(a, set, split);
    if (rc)
        task_answers_close(a);
    else
        *out = a;
    return rc;
}

void task_answers_close(task_answers *a) {
    if (!a) return;
    json_lines_close(&a->lines);
    mem_free(a->list);
    mem_free(a->path);
    mem_free(a);
}

uint32_t task_answers_checksum(const task_answers *a) {
    return a->crc;
}

int64_t task_answers_count(const task_answers *a) {
    return (int64_t)a->count;
}

int64_t task_answers_elsewhere(const task_answers *a) {
    return a->elsewhere;
}

static const entry *entry_at(const task_answers *a, int64_t i) {
    if (i < 0 || (size_t)i >= a->count) die("answers: %lld of %zu", (long long)i, a->count);
    return &a->list[i];
}

task_answer task_answers_at(const task_answers *a, int64_t i) {
    return entry_at(a, i)->is;
}

static status take(buffer *out, json_value object, const char *key, bool strip) {
    static const char space[] = " \t\r\n\v\f";
    const char *text;
    status rc = json_member_text(&text, object, key);
    if (rc) return rc;
    if (strip) text += strspn(text, space);
    size_t length = strlen(text);
    while (strip && length && strchr(space, text[length - 1])) length--;
    buffer_append(out, text, length);
    return out->failed;
}

status task_answers_read(const task_answers *a, int64_t i, buffer *prompt, buffer *text,
                         buffer *report) {
    const entry *e = entry_at(a, i);
    json *one = NULL;
    status rc = json_parse(&one, a->path, e->text, e->length, e->line);
    if (!rc) rc = take(prompt, json_root(one), "prompt", false);
    if (!rc) rc = take(text, json_root(one), "text", true);
    if (!rc && json_find(json_root(one), "report").node)
        rc = take(report, json_root(one), "report", false);
    json_close(one);
    return rc;
}
