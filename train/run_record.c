#include "train/run_record.h"
#include "core/files/fs.h"
#include "core/files/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_SIZE = 256, SERIES_MAX = 4096, DEPTH = 6 };

void run_record_close(run_record *r) {
    for (size_t i = 0; i < r->count; i++) {
        mem_free(r->series[i].name);
        mem_free(r->series[i].step);
        mem_free(r->series[i].value);
    }
    for (size_t i = 0; i < r->samples; i++) {
        mem_free(r->sample[i].id);
        mem_free(r->sample[i].text);
    }
    mem_free(r->series);
    mem_free(r->sample);
    *r = (run_record){0};
}

const run_series *run_record_find(const run_record *r, const char *name) {
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->series[i].name, name)) return &r->series[i];
    return NULL;
}

double run_record_latest(const run_record *r, const char *name) {
    const run_series *s = run_record_find(r, name);
    return s && s->count ? s->value[s->count - 1] : (double)NAN;
}

// --- numbers ------------------------------------------------------------------------------------
static status series_named(run_series **out, run_record *r, const char *name) {
    *out = (run_series *)run_record_find(r, name);
    if (*out) return STATUS_OK;
    status rc = mem_grow((void **)&r->series, &r->room, r->count + 1, sizeof *r->series,
                         "series of numbers");
    if (!rc) rc = mem_string(&r->series[r->count].name, name);
    if (!rc) *out = &r->series[r->count++];
    return rc;
}

static status add_number(run_record *r, const char *name, double value) {
    run_series *s = NULL;
    if (r->count >= SERIES_MAX) return STATUS_OK;
    status rc = series_named(&s, r, name);
    const size_t want = rc ? 0 : (size_t)s->count + 1;
    if (!rc)
        rc = mem_grow((void **)&s->step, &s->step_room, want, sizeof *s->step, "numbers of a run");
    if (!rc)
        rc = mem_grow((void **)&s->value, &s->value_room, want, sizeof *s->value,
                      "numbers of a run");
    if (rc) return rc;
    s->step[s->count] = (double)r->step;
    s->value[s->count++] = value;
    return STATUS_OK;
}

static status add_members(run_record *r, json_value object, const char *prefix, int depth) {
    status rc = STATUS_OK;
    for (json_value v = json_first(object); v.node && !rc; v = json_next(v)) {
        char name[NAME_MAX_SIZE];
        double value = NAN;
        const json_kind kind = json_kind_of(v);
        if (snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", json_key(v)) >=
            (int)sizeof name)
            continue;
        if (kind == JSON_OBJECT && depth < DEPTH) rc = add_members(r, v, name, depth + 1);
        if (kind == JSON_NUMBER) rc = json_number(&value, v);
        if (!rc && (kind == JSON_NUMBER || kind == JSON_NULL)) rc = add_number(r, name, value);
    }
    return rc;
}

static status add_sample(run_record *r, json_value line) {
    const json_value sample = json_find(json_find(line, "validation"), "sample");
    const char *id, *text;
    if (json_kind_of(sample) != JSON_OBJECT) return STATUS_OK;
    status rc = json_member_text(&id, sample, "id");
    if (!rc) rc = json_member_text(&text, sample, "text");
    if (!rc)
        rc = mem_grow((void **)&r->sample, &r->sample_room, r->samples + 1, sizeof *r->sample,
                      "samples");
    if (rc) return rc;
    run_sample *s = &r->sample[r->samples++];
    *s = (run_sample){.step = r->step};
    rc = mem_string(&s->id, id);
    return rc ? rc : mem_string(&s->text, text);
}

static status add_line(run_record *r, const char *path, const char *text, size_t length,
                       int number) {
    json *document = NULL;
    double ms = 0;
    status rc = json_parse(&document, path, text, length, number);
    json_value line = rc ? (json_value){0} : json_root(document);
    if (!rc) rc = json_object(line);
    if (!rc) rc = json_member_int(&r->step, line, "step", 1, (int64_t)1 << 53);
    if (!rc) rc = add_members(r, line, "", 0);
    if (!rc) rc = add_sample(r, line);
    if (!rc && json_kind_of(json_find(line, "ms")) == JSON_NUMBER)
        rc = json_member_number(&ms, line, "ms");
    r->ms += ms;
    json_close(document);
    return rc;
}

// --- files --------------------------------------------------------------------------------------
// The loop says it in the log: "starting at step 0 of 100", "resuming from step 60 of 100". The
// latest counts.
static void take_total(run_record *r, const char *line) {
    static const char *const before[] = {"starting at step ", "resuming from step "};
    long long from, total;
    for (int i = 0; i < 2; i++) {
        const size_t length = strlen(before[i]);
        if (strncmp(line, before[i], length)) continue;
        if (sscanf(line + length, "%lld of %lld", &from, &total) == 2 && total > 0)
            r->total = total;
    }
}

static status read_total(run_record *r, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    status rc = path_join(path, sizeof path, folder, "log.txt");
    if (rc || !file_exists(path)) return rc;
    rc = file_read(path, 0, &text);
    for (const char *line = rc ? NULL : text.data; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        take_total(r, line);
    }
    buffer_free(&text);
    return rc;
}

static int lines_before(const buffer *text, size_t end) {
    int lines = 1;
    for (size_t i = 0; i < end; i++) lines += text->data[i] == '\n';
    return lines;
}

status run_record_more(run_record *r, const char *folder) {
    char path[PATH_SIZE];
    buffer text = {0};
    status rc = path_join(path, sizeof path, folder, "metrics.jsonl");
    if (!rc) rc = file_read(path, 0, &text);
    if (!rc && text.length < r->read) run_record_close(r);
    int number = rc ? 0 : lines_before(&text, r->read);
    while (!rc) {
        const char *line = text.data + r->read, *end = memchr(line, '\n', text.length - r->read);
        if (!end) break;
        rc = add_line(r, path, line, (size_t)(end - line), number++);
        r->read += (size_t)(end - line) + 1;
    }
    buffer_free(&text);
    return rc ? rc : read_total(r, folder);
}

status run_record_open(run_record *r, const char *folder) {
    *r = (run_record){0};
    return run_record_more(r, folder);
}
