// What the sources of ingest share in reading their tables: columns, labels, splits of patients.
#include "core/hash.h"
#include "core/rng.h"
#include "data/ingest_plan.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

// --- columns -------------------------------------------------------------------------------------

// Labels of a column "cardiomegaly" would be lost without a word.
static status check_case(const csv *table, const char *const *own, int count) {
    for (int i = 0; i < csv_columns(table); i++)
        for (int k = 0; k < count + CLASS_COUNT; k++) {
            const char *name = csv_name(table, i);
            const char *known = k < count ? own[k] : class_names[k - count];
            if (!strcasecmp(name, known) && strcmp(name, known) && csv_column(table, known) < 0)
                return status_fail(STATUS_FORMAT, "%s: the column '%s' must be written '%s'",
                                   csv_path(table), name, known);
        }
    return STATUS_OK;
}

status plan_columns(int *column, int label[CLASS_COUNT], const csv *table, const char *const *own,
                    int count) {
    for (int k = 0; k < count; k++) column[k] = csv_column(table, own[k]);
    int labels = plan_label_columns(label, table);
    status rc = check_case(table, own, count);
    // A few of them would be read as all: the rest is more likely mistyped than meant.
    for (int i = 0; !rc && labels && i < CLASS_COUNT; i++)
        rc = csv_require(&label[i], table, class_names[i]);
    return rc;
}

const char *plan_field(const csv *table, int column) {
    return column < 0 ? "" : csv_field(table, column);
}

bool plan_is_text_file(const char *report) {
    size_t length = strlen(report);
    return length > 4 && length < PATH_SIZE && !strchr(report, '\n') &&
           !strcmp(report + length - 4, ".txt");
}

// --- splits --------------------------------------------------------------------------------------

int plan_draw_split(const ingest_options *o, const char *patient) {
    rng_key key = {.seed = o->seed, .site = rng_site("ingest split")};
    double at = (double)rng_uniform(key, 0, hash_bytes(hash_start, patient, strlen(patient)));
    if (at < o->test) return SPLIT_TEST;
    return at < o->test + o->validate ? SPLIT_VALIDATE : SPLIT_TRAIN;
}

// --- labels --------------------------------------------------------------------------------------

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// What the skip says about a row of another table than the split's.
static void describe(char out[256], const csv *table, const char *path, const char *why) {
    snprintf(out, 256, "%s, line %lld: %s", base_name(path), (long long)csv_line(table), why);
}

// The labels of one row for all rows of the plan with its key.
static status apply_labels(bool *known, ingest_plan *p, const csv *table, const char *path,
                           row_text key_text, const char *key, const int column[CLASS_COUNT],
                           const uint32_t *index) {
    int8_t labels[CLASS_COUNT];
    char detail[256] = "";
    size_t first, count = plan_find(&first, p, index, key_text, key);
    if (!count) return STATUS_OK;
    *known = true;
    status rc = plan_labels(labels, table, column);
    if (rc == STATUS_FORMAT) {
        describe(detail, table, path, status_text());
        rc = STATUS_OK;
    }
    for (size_t i = 0; !rc && i < count; i++) {
        plan_row *row = &p->row[index[first + i]];
        memcpy(row->labels, labels, sizeof labels);
        if (detail[0]) rc = plan_drop(p, row, SKIP_BAD_ROW, detail);
    }
    return rc;
}

status plan_read_labels(ingest_plan *p, const char *path, row_text key, const char *key_name) {
    csv *table = NULL;
    uint32_t *index = NULL;
    bool more = true, bad, known = false;
    int column[CLASS_COUNT], id = -1;
    char detail[256];
    status rc = csv_open(&table, path);
    if (!rc) rc = csv_require(&id, table, key_name);
    for (int i = 0; !rc && i < CLASS_COUNT; i++)
        rc = csv_require(&column[i], table, class_names[i]);
    if (!rc) rc = plan_index(&index, p, key);
    while (!rc && more) {
        rc = csv_next(table, &more, &bad);
        if (rc || !more) break;
        if (bad) {
            describe(detail, table, path, plan_bad_row(table, path));
            rc = skip_list_add(&p->skips, 0, SKIP_BAD_ROW, "", detail);
        } else
            rc = apply_labels(&known, p, table, path, key, csv_field(table, id), column, index);
    }
    // Another data set's labels would leave every record without any.
    if (!rc && !known && p->rows && csv_row(table))
        rc = status_fail(STATUS_FORMAT, "%s: no %s in it is one of the %zu images'", path, key_name,
                         p->rows);
    mem_free(index);
    csv_close(table);
    return rc;
}
