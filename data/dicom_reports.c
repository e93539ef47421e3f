#include "data/dicom_reports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A table's row; its texts stand behind each other.
enum { ROW_OWN_REPORT, ROW_OWN_FINDINGS, ROW_OWN_IMPRESSION, ROW_OWN_SPLIT, ROW_OWN_TEXTS };
typedef struct table_row {
    uint64_t text;
    int64_t line;
    bool used;
    int8_t labels[CLASS_COUNT];
} table_row;

// What an image can be found by. The first character of a key says which.
enum {
    BY_IMAGE = 'i', // the table's column image: a row
    BY_STUDY = 's', // the table's column study: a row
    BY_PLACE = 'p', // a text file's path without its ending: its number among the folder's
    BY_NAME = 'n',  // a text file's name without its ending
    BY_REPORT = 'r' // a structured report's study: its entry
};
typedef struct report_key {
    uint64_t text;
    uint32_t what;
} report_key;

struct dicom_reports {
    const dicom_folder *folder;
    const char *table; // the base name of its file, NULL: there is none
    bool has_split;
    table_row *row;
    size_t rows, row_capacity;
    report_key *key; // in the order of their texts
    size_t keys, key_capacity;
    buffer texts;
};

// --- keys ----------------------------------------------------------------------------------------

static status add_key(dicom_reports *r, char kind, const char *text, size_t length, size_t what) {
    status rc =
        mem_grow((void **)&r->key, &r->key_capacity, r->keys + 1, sizeof *r->key, "reports");
    if (rc) return rc;
    r->key[r->keys++] = (report_key){r->texts.length, (uint32_t)what};
    buffer_append(&r->texts, &kind, 1);
    buffer_append(&r->texts, text, length);
    buffer_append(&r->texts, "", 1);
    return r->texts.failed;
}

static int compare_keys(const void *a, const void *b, void *texts) {
    const report_key *x = a, *y = b;
    int order = strcmp((char *)texts + x->text, (char *)texts + y->text);
    return order ? order : (x->what > y->what) - (x->what < y->what);
}

// How many keys are TEXT of KIND; *FIRST is the place of the first.
static size_t find_key(size_t *first, const dicom_reports *r, char kind, const char *text,
                       size_t length) {
    size_t low = 0, high = r->keys, count = 0;
    const char *texts = r->texts.data;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *at = texts + r->key[middle].text;
        int order = at[0] != kind ? at[0] - kind : strncmp(at + 1, text, length);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*first = low; low < r->keys; low++, count++) {
        const char *at = texts + r->key[low].text;
        if (at[0] != kind || strncmp(at + 1, text, length) || at[1 + length]) break;
    }
    return count;
}

// --- the table -----------------------------------------------------------------------------------

enum { IMAGE, STUDY, REPORT, FINDINGS, IMPRESSION, SPLIT, OWN };
static const char *const own[OWN] = {"image", "study", "report", "findings", "impression", "split"};

static status skip_row(skip_list *skips, const dicom_reports *r, int64_t line, skip_reason reason,
                       const char *why) {
    char detail[256];
    snprintf(detail, sizeof detail, "%.60s, line %lld: %.150s", r->table, (long long)line, why);
    return skip_list_add(skips, 0, reason, "", detail);
}

static status add_row(dicom_reports *r, const csv *table, const int at[OWN],
                      const int label[CLASS_COUNT], skip_list *skips) {
    static const int texts[ROW_OWN_TEXTS] = {REPORT, FINDINGS, IMPRESSION, SPLIT};
    const char *picture = plan_field(table, at[IMAGE]), *study = plan_field(table, at[STUDY]);
    table_row row = {.line = csv_line(table), .text = r->texts.length};
    if (!picture[0] && !study[0])
        return skip_row(skips, r, row.line, SKIP_BAD_ROW, "neither image nor study");
    status rc = plan_labels(row.labels, table, label);
    if (rc == STATUS_FORMAT) return skip_row(skips, r, row.line, SKIP_BAD_ROW, status_text());
    if (!rc)
        rc = mem_grow((void **)&r->row, &r->row_capacity, r->rows + 1, sizeof *r->row, "reports");
    if (rc) return rc;
    for (int i = 0; i < ROW_OWN_TEXTS; i++) {
        const char *text = plan_field(table, at[texts[i]]);
        buffer_append(&r->texts, text, strlen(text) + 1);
    }
    r->row[r->rows++] = row;
    if (picture[0]) return add_key(r, BY_IMAGE, picture, strlen(picture), r->rows - 1);
    return add_key(r, BY_STUDY, study, strlen(study), r->rows - 1);
}

static status find_columns(int at[OWN], int label[CLASS_COUNT], const csv *table) {
    status rc = plan_columns(at, label, table, own, OWN);
    if (!rc && at[IMAGE] < 0 && at[STUDY] < 0) rc = csv_require(&at[STUDY], table, "study");
    if (!rc && at[REPORT] < 0 && at[FINDINGS] < 0) rc = csv_require(&at[REPORT], table, "report");
    return rc;
}

static status read_table(dicom_reports *r, const ingest_options *o, skip_list *skips) {
    char path[PATH_SIZE];
    const char *from = o->csv ? o->csv : path, *slash;
    int at[OWN], label[CLASS_COUNT];
    csv *table = NULL;
    bool more = true, bad;
    status rc = path_join(path, sizeof path, o->root, "data.csv");
    if (rc || (!o->csv && !file_exists(path))) return rc;
    rc = csv_open(&table, from);
    if (!rc) rc = find_columns(at, label, table);
    r->has_split = !rc && at[SPLIT] >= 0;
    slash = strrchr(from, '/');
    r->table = o->csv ? slash ? slash + 1 : from : "data.csv";
    while (!rc && more) {
        rc = csv_next(table, &more, &bad);
        if (rc || !more) break;
        rc = bad ? skip_row(skips, r, csv_line(table), SKIP_BAD_ROW, plan_bad_row(table, from))
                 : add_row(r, table, at, label, skips);
    }
    csv_close(table);
    return rc;
}

// --- files ---------------------------------------------------------------------------------------

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// How much of PATH stands before the ending of its last part.
static size_t stem_length(const char *path) {
    const char *dot = strrchr(base_name(path), '.');
    return dot ? (size_t)(dot - path) : strlen(path);
}

static status add_files(dicom_reports *r) {
    const dicom_folder *f = r->folder;
    status rc = STATUS_OK;
    for (size_t i = 0; !rc && i < f->reports.count; i++) {
        const char *path = f->reports.name[i], *base = base_name(path);
        size_t stem = stem_length(path);
        rc = add_key(r, BY_PLACE, path, stem, i);
        if (!rc) rc = add_key(r, BY_NAME, base, stem - (size_t)(base - path), i);
    }
    for (size_t i = 0; !rc && i < f->count; i++) {
        const dicom_entry *e = &f->entry[i];
        if (e->kind != DICOM_REPORT || e->skip) continue;
        const char *study = dicom_entry_get(f, e, ENTRY_STUDY);
        rc = add_key(r, BY_REPORT, study, strlen(study), i);
    }
    return rc;
}

status dicom_reports_open(dicom_reports **out, const dicom_folder *f, const ingest_options *o,
                          skip_list *skips) {
    dicom_reports *r = NULL;
    *out = NULL;
    status rc = mem_new(&r, 1, "reports");
    if (rc) return rc;
    r->folder = f;
    rc = read_table(r, o, skips);
    if (!rc) rc = add_files(r);
    if (!rc && r->keys) qsort_r(r->key, r->keys, sizeof *r->key, compare_keys, r->texts.data);
    if (rc)
        dicom_reports_close(r);
    else
        *out = r;
    return rc;
}

void dicom_reports_close(dicom_reports *r) {
    if (!r) return;
    mem_free(r->row);
    mem_free(r->key);
    buffer_free(&r->texts);
    mem_free(r);
}

// --- finding -------------------------------------------------------------------------------------

static const char *row_text_of(const dicom_reports *r, const table_row *row, int which) {
    const char *text = r->texts.data + row->text;
    while (which--) text += strlen(text) + 1;
    return text;
}

static void no_report(dicom_report *out, skip_reason reason, const char *why) {
    out->skip = reason;
    out->detail = why;
}

// False where nothing is found. Of one and the same key there may be one report.
static bool find_one(size_t *what, dicom_report *out, const dicom_reports *r, char kind,
                     const char *text, size_t length, const char *several) {
    size_t first, count = length ? find_key(&first, r, kind, text, length) : 0;
    if (!count) return false;
    *what = r->key[first].what;
    if (count > 1) no_report(out, SKIP_BAD_REPORT, several);
    return true;
}

static bool find_row(dicom_report *out, dicom_reports *r, const dicom_entry *e) {
    static const struct {
        char kind;
        dicom_entry_text text;
    } ways[] = {{BY_IMAGE, ENTRY_PATH},
                {BY_IMAGE, ENTRY_INSTANCE},
                {BY_STUDY, ENTRY_STUDY},
                {BY_STUDY, ENTRY_ACCESSION}};
    size_t what = 0;
    bool found = false;
    for (size_t i = 0; !found && i < sizeof ways / sizeof *ways; i++) {
        const char *text = dicom_entry_get(r->folder, e, ways[i].text);
        found = find_one(&what, out, r, ways[i].kind, text, strlen(text),
                         "the table has several rows for it");
    }
    if (!found) return false;
    table_row *row = &r->row[what];
    row->used = true;
    out->report = row_text_of(r, row, ROW_OWN_REPORT);
    out->findings = row_text_of(r, row, ROW_OWN_FINDINGS);
    out->impression = row_text_of(r, row, ROW_OWN_IMPRESSION);
    out->split = r->has_split ? row_text_of(r, row, ROW_OWN_SPLIT) : NULL;
    out->is_inline = !plan_is_text_file(out->report);
    memcpy(out->labels, row->labels, sizeof out->labels);
    return out->report[0] || out->findings[0];
}

static bool find_file(dicom_report *out, const dicom_reports *r, const dicom_entry *e) {
    static const dicom_entry_text named[] = {ENTRY_INSTANCE, ENTRY_STUDY, ENTRY_ACCESSION};
    const dicom_folder *f = r->folder;
    const char *path = dicom_entry_get(f, e, ENTRY_PATH);
    size_t what = 0;
    bool found = find_one(&what, out, r, BY_PLACE, path, stem_length(path), "");
    for (size_t i = 0; !found && i < sizeof named / sizeof *named; i++) {
        const char *text = dicom_entry_get(f, e, named[i]);
        found = find_one(&what, out, r, BY_NAME, text, strlen(text),
                         "several text files are named after it");
    }
    if (found)
        out->report = f->reports.name[what];
    else {
        const char *study = dicom_entry_get(f, e, ENTRY_STUDY);
        found = find_one(&what, out, r, BY_REPORT, study, strlen(study),
                         "several structured reports of its study");
        if (found) out->report = dicom_entry_get(f, &f->entry[what], ENTRY_PATH);
    }
    if (found) out->is_inline = false;
    return found;
}

void dicom_reports_find(dicom_report *out, dicom_reports *r, const dicom_entry *e) {
    *out = (dicom_report){.detail = "", .report = "", .findings = "", .impression = ""};
    memset(out->labels, LABEL_BLANK, sizeof out->labels);
    if (!find_row(out, r, e) && !out->skip && !find_file(out, r, e))
        no_report(out, SKIP_NO_REPORT, "none in a table, a text file or a structured report");
}

status dicom_reports_unused(const dicom_reports *r, skip_list *skips) {
    status rc = STATUS_OK;
    for (size_t i = 0; !rc && i < r->rows; i++)
        if (!r->row[i].used)
            rc = skip_row(skips, r, r->row[i].line, SKIP_NO_IMAGE, "no image is of it");
    return rc;
}
