#include "train/written_reports.h"
#include "data/report_table.h"
#include "train/report_labeler.h"

#include <stdlib.h>
#include <string.h>

static status open_table(report_table **out, const char *path) {
    const report_options how = {0};
    status rc = report_table_open(out, path, &how);
    if (!rc && strcmp(report_table_id_name(*out), "dicom_id"))
        rc = status_fail(STATUS_FORMAT, "%s: its reports have no dicom_id", path);
    return rc;
}

static status label(int8_t **labels, report_labeler *l, const report_table *t) {
    const int64_t count = report_table_count(t);
    status rc = mem_new(labels, count * CLASS_COUNT, "labels");
    return rc ? rc : report_labeler_texts(l, report_table_texts(t), count, *labels, NULL);
}

status written_reports_correct(corrections *out, const char *path, const char *checkpoint,
                               const char *where) {
    report_table *t = NULL;
    report_labeler l = {0};
    int8_t *labels = NULL;
    status rc = open_table(&t, path);
    if (!rc) rc = report_labeler_open_at(&l, checkpoint, where);
    if (!rc) rc = label(&labels, &l, t);
    for (int64_t i = 0; !rc && i < report_table_count(t); i++)
        rc = corrections_add(out, dataset_find(out->set, report_table_ids(t)[i]),
                             report_table_texts(t)[i], labels + i * CLASS_COUNT);
    mem_free(labels);
    report_labeler_close(&l);
    report_table_close(t);
    return rc;
}

// --- by record ----------------------------------------------------------------------------------

typedef struct named {
    const char *id, *text;
} named;

static int compare(const void *a, const void *b) {
    return strcmp(((const named *)a)->id, ((const named *)b)->id);
}

status written_reports_open(report_table **table, const char **text, const char *path,
                            const char *const *id, int64_t count) {
    named *list = NULL;
    *table = NULL;
    status rc = open_table(table, path);
    const int64_t rows = rc ? 0 : report_table_count(*table);
    if (!rc) rc = mem_new(&list, rows, "reports");
    for (int64_t i = 0; i < rows && !rc; i++)
        list[i] = (named){report_table_ids(*table)[i], report_table_texts(*table)[i]};
    if (!rc) qsort(list, (size_t)rows, sizeof *list, compare);
    for (int64_t i = 0; i < count && !rc; i++) {
        const named wanted = {.id = id[i]},
                    *found = bsearch(&wanted, list, (size_t)rows, sizeof wanted, compare);
        if (found)
            text[i] = found->text;
        else
            rc = status_fail(STATUS_FORMAT, "%s: has no report on %s", path, id[i]);
    }
    mem_free(list);
    return rc;
}
