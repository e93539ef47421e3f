// A table of images and reports in any folder as an ingest plan. Columns: image; report (text, or the
// path of a .txt file) or findings; optionally id, patient, study, split, view, impression and the 14
// classes by name. Paths start at the table's root. Opens no image and no report.
#include "core/log.h"
#include "core/rng.h"
#include "data/ingest_plan.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ID_SIZE = 512 };

typedef struct folder_columns {
    int id, image, report, findings, impression, patient, study, split, view;
    int label[CLASS_COUNT];
} folder_columns;

// Labels of a column "cardiomegaly" would be lost without a word.
static status check_case(const csv *table) {
    static const char *const own[] = {"id",    "image", "report", "findings", "impression", "patient",
                                      "study", "split", "view"};
    enum { OWN = sizeof own / sizeof *own };
    for (int i = 0; i < csv_columns(table); i++)
        for (int k = 0; k < OWN + CLASS_COUNT; k++) {
            const char *name = csv_name(table, i), *known = k < OWN ? own[k] : class_names[k - OWN];
            if (!strcasecmp(name, known) && strcmp(name, known) && csv_column(table, known) < 0)
                return status_fail(STATUS_FORMAT, "%s: the column '%s' must be written '%s'",
                                   csv_path(table), name, known);
        }
    return STATUS_OK;
}

static status find_columns(folder_columns *c, const csv *table) {
    *c = (folder_columns){
        .id = csv_column(table, "id"),           .report = csv_column(table, "report"),
        .findings = csv_column(table, "findings"), .impression = csv_column(table, "impression"),
        .patient = csv_column(table, "patient"), .study = csv_column(table, "study"),
        .split = csv_column(table, "split"),     .view = csv_column(table, "view")};
    int labels = plan_label_columns(c->label, table);
    status rc = check_case(table);
    if (!rc) rc = csv_require(&c->image, table, "image");
    if (!rc && c->report < 0 && c->findings < 0) rc = csv_require(&c->report, table, "report");
    // A few of them would be read as all: the rest is more likely mistyped than meant.
    for (int i = 0; !rc && labels && i < CLASS_COUNT; i++)
        rc = csv_require(&c->label[i], table, class_names[i]);
    return rc;
}

static const char *field(const csv *table, int column) {
    return column < 0 ? "" : csv_field(table, column);
}

// The image's path without its ending, unless the table names ids; "" if that makes no id.
static void row_id(char out[ID_SIZE], const csv *table, const folder_columns *c) {
    const char *id = field(table, c->id), *image = field(table, c->image);
    size_t length = strlen(id);
    if (!length && image[0] != '/') {
        const char *dot = strrchr(image, '.'), *slash = strrchr(image, '/');
        id = image;
        length = dot && (!slash || dot > slash) ? (size_t)(dot - image) : strlen(image);
    }
    if (length >= ID_SIZE) length = 0;
    memcpy(out, id, length);
    out[length] = 0;
}

static bool is_text_file(const char *report) {
    size_t length = strlen(report);
    return length > 4 && length < PATH_SIZE && !strchr(report, '\n') &&
           !strcmp(report + length - 4, ".txt");
}

static uint64_t hash_text(const char *text) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

// A patient's split depends on the seed and the patient alone, so that it stays when rows are added.
static int draw_split(const ingest_options *o, const char *patient) {
    rng_key key = {.seed = o->seed, .site = rng_site("ingest split")};
    double at = (double)rng_uniform(key, 0, hash_text(patient));
    if (at < o->test) return SPLIT_TEST;
    return at < o->test + o->validate ? SPLIT_VALIDATE : SPLIT_TRAIN;
}

static status bad_row(ingest_plan *p, const csv *table, const char *id, const char *why) {
    return skip_list_add(&p->skips, csv_line(table), SKIP_BAD_ROW, id, why);
}

static status add_row(ingest_plan *p, const csv *table, const folder_columns *c,
                      const ingest_options *o) {
    char id[ID_SIZE];
    plan_row row = {.line = csv_line(table)};
    row_id(id, table, c);
    const char *image = field(table, c->image), *report = field(table, c->report);
    const char *study = field(table, c->study), *patient = field(table, c->patient);
    if (!image[0]) return bad_row(p, table, id, "the field image is empty");
    if (!id[0]) return bad_row(p, table, id, "an absolute path needs a column id");
    if (strlen(image) >= PATH_SIZE / 2) return bad_row(p, table, id, "the path is too long");
    if (!study[0]) study = id;
    if (!patient[0]) patient = study;
    int split = c->split < 0 ? draw_split(o, patient) : plan_split(field(table, c->split));
    if (split < 0)
        return skip_list_add(&p->skips, row.line, SKIP_SPLIT, id, field(table, c->split));
    row.split = (uint8_t)split;
    row.report_inline = !is_text_file(report);
    status rc = plan_labels(row.labels, table, c->label);
    if (rc == STATUS_FORMAT) return bad_row(p, table, id, status_text());
    if (!rc) rc = plan_view(&row.view, p, field(table, c->view));
    if (rc) return rc;
    return plan_add(p, &row,
                    (const char *[ROW_TEXTS]){[ROW_ID] = id,
                                              [ROW_STUDY] = study,
                                              [ROW_SUBJECT] = patient,
                                              [ROW_IMAGE] = image,
                                              [ROW_REPORT] = report,
                                              [ROW_FINDINGS] = field(table, c->findings),
                                              [ROW_IMPRESSION] = field(table, c->impression)});
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
    if (!rc && columns.split < 0 && columns.patient < 0)
        log_warn("%s: no column patient: images of one patient may come into different splits",
                 from);
    while (!rc && more) {
        rc = csv_next(table, &more, &bad);
        if (rc || !more) break;
        rc = bad ? bad_row(p, table, "", plan_bad_row(table, from))
                 : add_row(p, table, &columns, o);
    }
    csv_close(table);
    return rc;
}
