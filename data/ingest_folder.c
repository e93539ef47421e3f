// A table of images and reports in any folder as an ingest plan. Columns: image; report (text, or the
// path of a .txt file) or findings; optionally id, patient, study, split, view, impression and the 14
// classes by name. Paths start at the table's root. Opens no image and no report.
#include "core/log.h"
#include "data/ingest_plan.h"

#include <stdio.h>
#include <string.h>

enum { ID_SIZE = 512 };

enum { ID, IMAGE, REPORT, FINDINGS, IMPRESSION, PATIENT, STUDY, SPLIT, VIEW, OWN };
static const char *const own[OWN] = {"id",      "image", "report", "findings", "impression",
                                     "patient", "study", "split",  "view"};

typedef struct folder_columns {
    int at[OWN], label[CLASS_COUNT]; // -1: there is none
} folder_columns;

static status find_columns(folder_columns *c, const csv *table) {
    status rc = plan_columns(c->at, c->label, table, own, OWN);
    if (!rc) rc = csv_require(&c->at[IMAGE], table, "image");
    if (!rc && c->at[REPORT] < 0 && c->at[FINDINGS] < 0)
        rc = csv_require(&c->at[REPORT], table, "report");
    return rc;
}

// The image's path without its ending, unless the table names ids; "" if that makes no id.
static void row_id(char out[ID_SIZE], const csv *table, const folder_columns *c) {
    const char *id = plan_field(table, c->at[ID]), *file = plan_field(table, c->at[IMAGE]);
    size_t length = strlen(id);
    if (!length && file[0] != '/') {
        const char *dot = strrchr(file, '.'), *slash = strrchr(file, '/');
        id = file;
        length = dot && (!slash || dot > slash) ? (size_t)(dot - file) : strlen(file);
    }
    if (length >= ID_SIZE) length = 0;
    memcpy(out, id, length);
    out[length] = 0;
}

static status bad_row(ingest_plan *p, const csv *table, const char *id, const char *why) {
    return skip_list_add(&p->skips, csv_line(table), SKIP_BAD_ROW, id, why);
}

static status add_row(ingest_plan *p, const csv *table, const folder_columns *c,
                      const ingest_options *o) {
    char id[ID_SIZE];
    plan_row row = {.line = csv_line(table)};
    row_id(id, table, c);
    const char *file = plan_field(table, c->at[IMAGE]), *report = plan_field(table, c->at[REPORT]);
    const char *study = plan_field(table, c->at[STUDY]), *patient = plan_field(table, c->at[PATIENT]);
    if (!file[0]) return bad_row(p, table, id, "the field image is empty");
    if (!id[0]) return bad_row(p, table, id, "an absolute path needs a column id");
    if (strlen(file) >= PATH_SIZE / 2) return bad_row(p, table, id, "the path is too long");
    if (!study[0]) study = id;
    if (!patient[0]) patient = study;
    int split = c->at[SPLIT] < 0 ? plan_draw_split(o, patient) : plan_split(plan_field(table, c->at[SPLIT]));
    if (split < 0)
        return skip_list_add(&p->skips, row.line, SKIP_SPLIT, id, plan_field(table, c->at[SPLIT]));
    row.split = (uint8_t)split;
    row.report_inline = !plan_is_text_file(report);
    status rc = plan_labels(row.labels, table, c->label);
    if (rc == STATUS_FORMAT) return bad_row(p, table, id, status_text());
    if (!rc) rc = plan_view(&row.view, p, plan_field(table, c->at[VIEW]));
    if (rc) return rc;
    return plan_add(p, &row,
                    (const char *[ROW_TEXTS]){[ROW_ID] = id,
                                              [ROW_STUDY] = study,
                                              [ROW_SUBJECT] = patient,
                                              [ROW_IMAGE] = file,
                                              [ROW_REPORT] = report,
                                              [ROW_FINDINGS] = plan_field(table, c->at[FINDINGS]),
                                              [ROW_IMPRESSION] = plan_field(table, c->at[IMPRESSION])});
}

status plan_folder(ingest_plan *p, const ingest_options *o) {
    char path[PATH_SIZE];
    csv *table = NULL;
    bool more = true, bad;
    folder_columns columns;
    p->free_reports = true;
    status rc = path_join(path, sizeof path, o->root, "data.csv");
    if (rc) return rc;
    snprintf(p->image_root, PATH_SIZE, "%s", o->root);
    snprintf(p->report_root, PATH_SIZE, "%s", o->root);
    const char *from = o->csv ? o->csv : path;
    rc = csv_open(&table, from);
    if (!rc) rc = find_columns(&columns, table);
    if (!rc && columns.at[SPLIT] < 0 && columns.at[PATIENT] < 0)
        log_warn("%s: no column patient: images of one patient may come into different splits",
                 from);
    while (!rc && more) {
        rc = csv_next(table, &more, &bad);
        if (rc || !more) break;
        rc = bad ? bad_row(p, table, "", plan_bad_row(table, from))
                 : add_row(p, table, &columns, o);
    }
    csv_close(table);
    return rc || !o->labels ? rc : plan_read_labels(p, o->labels, ROW_ID, "dicom_id");
}
