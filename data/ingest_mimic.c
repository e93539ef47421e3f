// The MIMIC-CXR-JPG layout (physionet.org/content/mimic-cxr-jpg) as an ingest plan. Knows where things
// are and what the tables are called; opens no image and no report.
#include "data/ingest_plan.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct mimic_files {
    char folder[PATH_SIZE]; // ROOT/mimic-cxr-jpg/VERSION
    char split[PATH_SIZE], metadata[PATH_SIZE], chexpert[PATH_SIZE]; // "" where absent
} mimic_files;

// --- finding the files ---------------------------------------------------------------------------

// The path of mimic-cxr-...-WHAT.csv or .csv.gz in FOLDER; "" if there is none. The file names carry
// a version of their own, which is not always the folder's.
static status find_table(char path[PATH_SIZE], const char *folder, const char *what) {
    names list;
    char plain[64], packed[64];
    path[0] = 0;
    snprintf(plain, sizeof plain, "-%s.csv", what);
    snprintf(packed, sizeof packed, "-%s.csv.gz", what);
    status rc = folder_list(folder, &list);
    for (size_t i = 0; !rc && i < list.count && !path[0]; i++) {
        const char *name = list.name[i];
        size_t length = strlen(name), a = strlen(plain), b = strlen(packed);
        if (strncmp(name, "mimic-cxr-", 10)) continue;
        if ((length > a && !strcmp(name + length - a, plain)) ||
            (length > b && !strcmp(name + length - b, packed)))
            rc = path_join(path, PATH_SIZE, folder, name);
    }
    if (list.name) names_free(&list);
    return rc;
}

// Whether version text A is higher than B: 2.10.0 above 2.9.0.
static bool version_above(const char *a, const char *b) {
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            char *next_a, *next_b;
            unsigned long x = strtoul(a, &next_a, 10), y = strtoul(b, &next_b, 10);
            if (x != y) return x > y;
            a = next_a, b = next_b;
        } else {
            if (*a != *b) return *a > *b;
            a++, b++;
        }
    }
    return *a && !*b;
}

static status find_folder(mimic_files *f, const char *root) {
    char jpg[PATH_SIZE], folder[PATH_SIZE], split[PATH_SIZE], best[256] = "";
    names list = {0};
    status rc = path_join(jpg, sizeof jpg, root, "mimic-cxr-jpg");
    if (rc) return rc;
    if (!folder_exists(jpg))
        return status_fail(STATUS_FORMAT,
                           "%s: no folder mimic-cxr-jpg in it; --source mimic looks for "
                           "mimic-cxr-jpg/VERSION/mimic-cxr-*-split.csv[.gz] and mimic-cxr-reports/",
                           root);
    rc = folder_list(jpg, &list);
    for (size_t i = 0; !rc && i < list.count; i++) {
        rc = path_join(folder, sizeof folder, jpg, list.name[i]);
        if (rc || !folder_exists(folder)) continue;
        rc = find_table(split, folder, "split");
        if (rc || !split[0] || (best[0] && !version_above(list.name[i], best))) continue;
        snprintf(best, sizeof best, "%s", list.name[i]);
        snprintf(f->folder, sizeof f->folder, "%s", folder);
        snprintf(f->split, sizeof f->split, "%s", split);
    }
    names_free(&list);
    if (!rc && !best[0])
        rc = status_fail(STATUS_FORMAT,
                         "%s: no folder in it holds mimic-cxr-*-split.csv or .csv.gz (looked for "
                         "VERSION/mimic-cxr-2.0.0-split.csv and the like)",
                         jpg);
    return rc;
}

static status find_reports(ingest_plan *p, const char *root) {
    status rc = path_join(p->report_root, PATH_SIZE, root, "mimic-cxr-reports/files");
    if (!rc && !folder_exists(p->report_root))
        rc = path_join(p->report_root, PATH_SIZE, root, "mimic-cxr-reports");
    if (!rc && !folder_exists(p->report_root))
        rc = status_fail(STATUS_FORMAT,
                         "%s: no reports; looked for mimic-cxr-reports/files/p10/ and "
                         "mimic-cxr-reports/p10/",
                         root);
    return rc;
}

static status find_files(mimic_files *f, ingest_plan *p, const char *root) {
    status rc = find_folder(f, root);
    if (!rc) rc = find_table(f->metadata, f->folder, "metadata");
    if (!rc) rc = find_table(f->chexpert, f->folder, "chexpert");
    if (!rc) rc = path_join(p->image_root, PATH_SIZE, f->folder, "files");
    if (!rc) rc = find_reports(p, root);
    return rc;
}

// --- the tables ----------------------------------------------------------------------------------

// Ids become parts of paths.
static bool id_is_plain(const char *id) {
    if (!*id || strlen(id) > 128) return false;
    for (; *id; id++)
        if (!isalnum((unsigned char)*id) && *id != '-' && *id != '_') return false;
    return true;
}

static status add_split_row(ingest_plan *p, const csv *table, const int column[4]) {
    const char *text[ROW_TEXTS] = {[ROW_ID] = csv_field(table, column[0]),
                                   [ROW_STUDY] = csv_field(table, column[1]),
                                   [ROW_SUBJECT] = csv_field(table, column[2])};
    const char *split = csv_field(table, column[3]);
    plan_row row = {.line = csv_line(table)};
    if (!id_is_plain(text[ROW_ID]) || !id_is_plain(text[ROW_STUDY]) ||
        !id_is_plain(text[ROW_SUBJECT]))
        return skip_list_add(&p->skips, row.line, SKIP_BAD_ROW, text[ROW_ID],
                             "an id is missing or has characters that ids do not have");
    int number = plan_split(split);
    if (number < 0)
        return skip_list_add(&p->skips, row.line, SKIP_SPLIT, text[ROW_ID], split);
    row.split = (uint8_t)number;
    memset(row.labels, LABEL_BLANK, sizeof row.labels);
    return plan_add(p, &row, text);
}

static status read_splits(ingest_plan *p, const char *path) {
    static const char *const required[4] = {"dicom_id", "study_id", "subject_id", "split"};
    int column[4];
    csv *table = NULL;
    bool more = true, bad;
    status rc = csv_open(&table, path);
    for (int i = 0; !rc && i < 4; i++) rc = csv_require(&column[i], table, required[i]);
    if (!rc) rc = plan_view(&(uint8_t){0}, p, "");
    while (!rc && more) {
        rc = csv_next(table, &more, &bad);
        if (rc || !more) break;
        rc = bad ? skip_list_add(&p->skips, csv_line(table), SKIP_BAD_ROW, "",
                                 plan_bad_row(table, path))
                 : add_split_row(p, table, column);
    }
    csv_close(table);
    return rc;
}

static status read_views(ingest_plan *p, const char *path, const uint32_t *by_id) {
    csv *table = NULL;
    bool more = true, bad;
    int id = -1, view = -1;
    status rc = csv_open(&table, path);
    if (!rc) rc = csv_require(&id, table, "dicom_id");
    if (!rc) rc = csv_require(&view, table, "ViewPosition");
    while (!rc && more) {
        size_t first;
        rc = csv_next(table, &more, &bad);
        if (rc || !more || bad) continue;
        size_t count = plan_find(&first, p, by_id, ROW_ID, csv_field(table, id));
        for (size_t i = 0; !rc && i < count; i++)
            rc = plan_view(&p->row[by_id[first + i]].view, p, csv_field(table, view));
    }
    csv_close(table);
    return rc;
}

static status find_labels(ingest_plan *p, const mimic_files *f, const ingest_options *o) {
    char path[PATH_SIZE];
    if (o->labels) return plan_read_labels(p, o->labels, ROW_ID, "dicom_id");
    status rc = path_join(path, sizeof path, o->root, "finding_chexbert_labels.csv");
    if (rc) return rc;
    if (file_exists(path)) return plan_read_labels(p, path, ROW_ID, "dicom_id");
    if (f->chexpert[0]) return plan_read_labels(p, f->chexpert, ROW_STUDY, "study_id");
    return status_fail(STATUS_FORMAT,
                       "%s: no labels; looked for finding_chexbert_labels.csv in it and "
                       "mimic-cxr-*-chexpert.csv[.gz] in %s; give a table with --labels",
                       o->root, f->folder);
}

status plan_mimic(ingest_plan *p, const ingest_options *o) {
    mimic_files *f = NULL;
    uint32_t *by_id = NULL;
    status rc = mem_new(&f, 1, "paths");
    if (!rc) rc = find_files(f, p, o->root);
    if (!rc) rc = read_splits(p, f->split);
    if (!rc && f->metadata[0]) {
        rc = plan_index(&by_id, p, ROW_ID);
        if (!rc) rc = read_views(p, f->metadata, by_id);
    }
    if (!rc) rc = find_labels(p, f, o);
    mem_free(by_id);
    mem_free(f);
    return rc;
}
