// Reports out of CSV, JSON lines and text files; tables of labels. See report_table.h.
#include "data/report_table.h"
#include "core/files/fs.h"
#include "data/csv.h"
#include "data/json_lines.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct report_row {
    size_t id, text; // where they begin in the bytes
    int64_t line;
} report_row;

struct report_table {
    const char *path; // while opening
    buffer bytes;     // ids and texts, a NUL behind each
    report_row *row;  // (count)
    size_t count, capacity;
    const char **text, **id; // (count)
    const char *id_name;
};

static const char *const text_names[] = {"findings", "Report Impression", "report", "text"};
enum { TEXT_NAMES = sizeof text_names / sizeof *text_names };
static const char *const id_names[] = {"dicom_id", "study_id"};
enum { ID_NAMES = sizeof id_names / sizeof *id_names };

static size_t keep(report_table *t, const char *text) {
    size_t at = t->bytes.length;
    buffer_append(&t->bytes, text, strlen(text) + 1);
    return at;
}

// ID NULL: the row's number.
static status add_report(report_table *t, const char *id, const char *text, int64_t line) {
    char number[24];
    if (!text_is_utf8(text, strlen(text)) || (id && !text_is_utf8(id, strlen(id))))
        return status_fail(STATUS_FORMAT,
                           "%s, line %lld: the report is not UTF-8 text; save it as such", t->path,
                           (long long)line);
    status rc = mem_grow((void **)&t->row, &t->capacity, t->count + 1, sizeof *t->row, "reports");
    if (rc) return rc;
    snprintf(number, sizeof number, "%zu", t->count + 1);
    report_row *row = &t->row[t->count++];
    row->id = keep(t, id ? id : number);
    row->text = keep(t, text);
    row->line = line;
    return t->bytes.failed;
}

// --- tables -------------------------------------------------------------------------------------

static status find_columns(int *text, int *id, report_table *t, const csv *c,
                           const report_options *o) {
    *text = o->headerless ? 0 : -1;
    *id = -1;
    if (o->headerless) return STATUS_OK;
    for (int i = ID_NAMES - 1; i >= 0; i--)
        if (csv_column(c, id_names[i]) >= 0) {
            *id = csv_column(c, id_names[i]);
            t->id_name = id_names[i];
        }
    if (o->column) return csv_require(text, c, o->column);
    for (int i = 0; i < TEXT_NAMES && *text < 0; i++) *text = csv_column(c, text_names[i]);
    if (*text >= 0) return STATUS_OK;
    return status_fail(
        STATUS_FORMAT,
        "%s: no column findings, Report Impression, report or text in its header; name "
        "the column of the reports, or say that the table has no header",
        t->path);
}

static status add_field(report_table *t, const char *id, const char *text, int64_t line) {
    return add_report(t, id, text_is_missing(text) ? "" : text, line);
}

static status read_csv(report_table *t, const report_options *o) {
    csv *c = NULL;
    bool more = true, bad;
    int text, id;
    status rc = csv_open(&c, t->path);
    if (!rc) rc = find_columns(&text, &id, t, c, o);
    if (!rc && o->headerless) rc = add_field(t, NULL, csv_name(c, 0), csv_line(c));
    while (!rc) {
        rc = csv_next(c, &more, &bad);
        if (rc || !more) break;
        if (bad)
            rc = status_fail(STATUS_FORMAT, "%s", csv_reason(c));
        else
            rc = add_field(t, id < 0 ? NULL : csv_field(c, id), csv_field(c, text), csv_line(c));
    }
    csv_close(c);
    return rc;
}

// --- JSON lines ---------------------------------------------------------------------------------

// The keys of the first object hold for all.
static status find_keys(const char **text, report_table *t, json_value object,
                        const report_options *o) {
    *text = o->column;
    for (int i = ID_NAMES - 1; i >= 0; i--)
        if (json_find(object, id_names[i]).node) t->id_name = id_names[i];
    for (int i = 0; i < TEXT_NAMES && !*text; i++)
        if (json_find(object, text_names[i]).node) *text = text_names[i];
    if (*text) return STATUS_OK;
    return json_fail(object, "no key findings, Report Impression, report or text; name the key of "
                             "the reports");
}

static status read_id(const char **id, char number[24], const report_table *t, json_value object) {
    json_value value;
    int64_t whole;
    *id = NULL;
    if (!t->id_name) return STATUS_OK;
    status rc = json_member(&value, object, t->id_name);
    if (rc || json_kind_of(value) == JSON_TEXT) return rc ? rc : json_text(id, value);
    rc = json_int(&whole, value, INT64_MIN, INT64_MAX);
    snprintf(number, 24, "%lld", rc ? 0 : (long long)whole);
    *id = number;
    return rc;
}

static status add_object(report_table *t, const char **key, const json_lines *lines,
                         const report_options *o) {
    const json_value object = json_root(lines->object);
    json_value value;
    char digits[24];
    const char *id, *text = "";
    status rc = *key ? STATUS_OK : find_keys(key, t, object, o);
    if (!rc) rc = read_id(&id, digits, t, object);
    if (!rc) rc = json_member(&value, object, *key);
    if (!rc && json_kind_of(value) != JSON_NULL) rc = json_text(&text, value);
    return rc ? rc : add_report(t, id, text, lines->line);
}

static status read_json_lines(report_table *t, const report_options *o) {
    json_lines lines;
    const char *key = NULL;
    bool more = true;
    status rc = json_lines_open(&lines, t->path);
    while (!rc) {
        rc = json_lines_next(&lines, &more);
        if (rc || !more) break;
        rc = add_object(t, &key, &lines, o);
    }
    json_lines_close(&lines);
    return rc;
}

// --- text files ---------------------------------------------------------------------------------

static status read_plain(report_table *t) {
    static const char mark[] = "\xef\xbb\xbf";
    buffer file = {0};
    status rc = file_read(t->path, 0, &file);
    if (!rc && strlen(file.data) != file.length)
        rc = status_fail(STATUS_FORMAT, "%s: it holds a NUL byte (is it UTF-16? save it as UTF-8)",
                         t->path);
    if (!rc) rc = add_report(t, NULL, file.data + (strncmp(file.data, mark, 3) ? 0 : 3), 1);
    buffer_free(&file);
    return rc;
}

// --- any of them --------------------------------------------------------------------------------

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), n = strlen(ending);
    return length > n && !strcasecmp(path + length - n, ending);
}

static status read_file(report_table *t, const report_options *o) {
    bool table = ends_in(t->path, ".csv") || ends_in(t->path, ".csv.gz");
    bool plain = ends_in(t->path, ".txt"), lines = ends_in(t->path, ".jsonl");
    if (!table && !plain && !lines)
        return status_fail(STATUS_USAGE,
                           "%s: reports are read from .csv, .csv.gz, .jsonl and .txt files",
                           t->path);
    if (o->column && (plain || o->headerless))
        return status_fail(STATUS_USAGE, "%s: %s has no column '%s'", t->path,
                           plain ? "a text file" : "a table without header", o->column);
    if (o->headerless && !table)
        return status_fail(STATUS_USAGE, "%s: only tables have a header that could be missing",
                           t->path);
    return table ? read_csv(t, o) : lines ? read_json_lines(t, o) : read_plain(t);
}

// The bytes stay where they are from now on.
static status point_at_texts(report_table *t) {
    status rc = mem_new(&t->text, t->count, "reports");
    if (!rc) rc = mem_new(&t->id, t->count, "reports");
    for (size_t i = 0; !rc && i < t->count; i++) {
        t->text[i] = t->bytes.data + t->row[i].text;
        t->id[i] = t->bytes.data + t->row[i].id;
    }
    return rc;
}

status report_table_open(report_table **out, const char *path, const report_options *options) {
    report_table *t = NULL;
    *out = NULL;
    status rc = mem_new(&t, 1, "reports");
    if (rc) return rc;
    t->path = path;
    rc = read_file(t, options);
    if (!rc && !t->count) rc = status_fail(STATUS_FORMAT, "%s: there is no report in it", path);
    if (!rc) rc = point_at_texts(t);
    if (rc)
        report_table_close(t);
    else
        *out = t;
    return rc;
}

void report_table_close(report_table *t) {
    if (!t) return;
    buffer_free(&t->bytes);
    mem_free(t->row);
    mem_free(t->text);
    mem_free(t->id);
    mem_free(t);
}

int64_t report_table_count(const report_table *t) {
    return (int64_t)t->count;
}

const char *const *report_table_texts(const report_table *t) {
    return t->text;
}

const char *const *report_table_ids(const report_table *t) {
    return t->id;
}

const char *report_table_id_name(const report_table *t) {
    return t->id_name ? t->id_name : "row";
}

int64_t report_table_line(const report_table *t, int64_t i) {
    if (i < 0 || i >= report_table_count(t)) die("reports: %lld of %zu", (long long)i, t->count);
    return t->row[i].line;
}

// --- tables of labels ---------------------------------------------------------------------------

static const char *label_text(int8_t label) {
    switch (label) {
    case LABEL_POSITIVE:
        return "1.0";
    case LABEL_NEGATIVE:
        return "0.0";
    case LABEL_UNCERTAIN:
        return "-1.0";
    case LABEL_BLANK:
        return "";
    default:
        die("label_table: %d is no label", label);
    }
}

status label_table_print(buffer *out, const char *id_name, const char *const *id,
                         const int8_t *labels, int64_t count) {
    const char *field[1 + CLASS_COUNT] = {id_name};
    for (int c = 0; c < CLASS_COUNT; c++) field[1 + c] = class_names[c];
    csv_write_row(out, field, 1 + CLASS_COUNT);
    for (int64_t i = 0; i < count; i++) {
        field[0] = id[i];
        for (int c = 0; c < CLASS_COUNT; c++)
            field[1 + c] = label_text(labels[i * CLASS_COUNT + c]);
        csv_write_row(out, field, 1 + CLASS_COUNT);
    }
    return out->failed;
}
