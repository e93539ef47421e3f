// A folder of DICOM files as an ingest plan: every image of modality CR or DX is a row, its report
// found by data/dicom_reports.c. The plan, and so the shards and what is said of them, holds
// pseudonyms (data/pseudonyms.h) where the files have names and UIDs; which file is which stands in
// a table beside the key. Opens no pixels and no report.
#include "core/log.h"
#include "data/dicom_reports.h"
#include "data/pseudonyms.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct dicom_ids {
    char image[PSEUDONYM_SIZE], study[PSEUDONYM_SIZE], subject[PSEUDONYM_SIZE];
} dicom_ids;

typedef struct dicom_plan {
    ingest_plan *plan;
    const ingest_options *options;
    pseudonym_key key;
    char key_path[PATH_SIZE], table_path[PATH_SIZE];
    dicom_folder folder;
    dicom_reports *reports;
    buffer table; // of all files, for the owner
    int64_t burned_in, secondary_captures;
} dicom_plan;

static const char key_ending[] = ".key";

// ROOT/radialog-ids.key and .csv, or --key FILE and what stands beside it.
static status find_key(dicom_plan *d) {
    const char *given = d->options->key;
    status rc = STATUS_OK;
    if (given && snprintf(d->key_path, PATH_SIZE, "%s", given) >= PATH_SIZE)
        rc = status_fail(STATUS_USAGE, "--key: the path is too long");
    if (!given) rc = path_join(d->key_path, PATH_SIZE, d->options->root, "radialog-ids.key");
    size_t length = strlen(d->key_path), ending = sizeof key_ending - 1;
    if (length > ending && !strcmp(d->key_path + length - ending, key_ending)) length -= ending;
    if (!rc &&
        snprintf(d->table_path, PATH_SIZE, "%.*s.csv", (int)length, d->key_path) >= PATH_SIZE)
        rc = status_fail(STATUS_USAGE, "--key: the path is too long");
    return rc ? rc : pseudonym_key_open(&d->key, d->key_path);
}

// What has no UID goes by its place; a study without a patient is a patient.
static dicom_ids make_ids(const dicom_plan *d, const dicom_entry *e) {
    dicom_ids out;
    const char *text[ENTRY_TEXTS];
    for (int i = 0; i < ENTRY_TEXTS; i++)
        text[i] = dicom_entry_get(&d->folder, e, (dicom_entry_text)i);
    bool has_study = text[ENTRY_STUDY][0], has_patient = text[ENTRY_PATIENT][0];
    pseudonym(out.image, &d->key, text[ENTRY_INSTANCE][0] ? "image" : "file",
              text[ENTRY_INSTANCE][0] ? text[ENTRY_INSTANCE] : text[ENTRY_PATH]);
    pseudonym(out.study, &d->key, has_study ? "study" : "file",
              text[has_study ? ENTRY_STUDY : ENTRY_PATH]);
    pseudonym(out.subject, &d->key,
              has_patient ? "patient"
              : has_study ? "study"
                          : "file",
              text[has_patient ? ENTRY_PATIENT
                   : has_study ? ENTRY_STUDY
                               : ENTRY_PATH]);
    return out;
}

static void describe(dicom_plan *d, int64_t line, const dicom_entry *e, const dicom_ids *ids) {
    char number[24], detail[512];
    snprintf(number, sizeof number, "%" PRId64, line);
    snprintf(detail, sizeof detail, "%s%s%s", dicom_entry_get(&d->folder, e, ENTRY_DETAIL),
             e->burned_in ? " burned-in annotation" : "",
             e->secondary_capture ? " secondary capture" : "");
    const char *const row[] = {number,       dicom_entry_get(&d->folder, e, ENTRY_PATH),
                               ids->image,   ids->study,
                               ids->subject, detail[0] == ' ' ? detail + 1 : detail};
    csv_write_row(&d->table, row, sizeof row / sizeof *row);
}

static status add_image(dicom_plan *d, int64_t line, const dicom_entry *e, const dicom_ids *ids) {
    ingest_plan *p = d->plan;
    dicom_report report;
    plan_row row = {.line = line};
    d->burned_in += e->burned_in;
    d->secondary_captures += e->secondary_capture;
    dicom_reports_find(&report, d->reports, e);
    if (report.skip) return skip_list_add(&p->skips, line, report.skip, ids->image, report.detail);
    int split = report.split ? plan_split(report.split) : plan_draw_split(d->options, ids->subject);
    if (split < 0) return skip_list_add(&p->skips, line, SKIP_SPLIT, ids->image, report.split);
    row.split = (uint8_t)split;
    row.report_inline = report.is_inline;
    memcpy(row.labels, report.labels, sizeof row.labels);
    status rc = plan_view(&row.view, p, dicom_entry_get(&d->folder, e, ENTRY_VIEW));
    if (rc) return rc;
    return plan_add(
        p, &row,
        (const char *[ROW_TEXTS]){[ROW_ID] = ids->image,
                                  [ROW_STUDY] = ids->study,
                                  [ROW_SUBJECT] = ids->subject,
                                  [ROW_IMAGE] = dicom_entry_get(&d->folder, e, ENTRY_PATH),
                                  [ROW_REPORT] = report.report,
                                  [ROW_FINDINGS] = report.findings,
                                  [ROW_IMPRESSION] = report.impression});
}

static status add_entries(dicom_plan *d) {
    static const char *const header[] = {"line",     "file",       "dicom_id",
                                         "study_id", "subject_id", "detail"};
    status rc = STATUS_OK;
    csv_write_row(&d->table, header, sizeof header / sizeof *header);
    for (size_t i = 0; !rc && i < d->folder.count; i++) {
        const dicom_entry *e = &d->folder.entry[i];
        dicom_ids ids = make_ids(d, e);
        int64_t line = (int64_t)i + 1;
        describe(d, line, e, &ids);
        if (e->skip)
            rc = skip_list_add(&d->plan->skips, line, e->skip, ids.image,
                               dicom_entry_get(&d->folder, e, ENTRY_DETAIL));
        else if (e->kind == DICOM_IMAGE)
            rc = add_image(d, line, e, &ids);
    }
    if (!rc) rc = d->table.failed;
    if (!rc) rc = dicom_reports_unused(d->reports, &d->plan->skips);
    return rc ? rc : file_write_secret(d->table_path, d->table.data, d->table.length);
}

// Counts alone: a name of a file may be a patient's.
static void warn(const dicom_plan *d) {
    if (d->burned_in)
        log_warn("%" PRId64
                 " images say that they have burned-in annotation: names may stand in their "
                 "pixels; %s tells which",
                 d->burned_in, d->table_path);
    if (d->secondary_captures)
        log_warn("%" PRId64
                 " images are secondary captures: pictures of a screen or a film, perhaps, "
                 "and names may stand in them; %s tells which",
                 d->secondary_captures, d->table_path);
}

static status make_plan(dicom_plan *d) {
    const ingest_options *o = d->options;
    ingest_plan *p = d->plan;
    p->free_reports = p->dicom = true;
    snprintf(p->image_root, PATH_SIZE, "%s", o->root);
    snprintf(p->report_root, PATH_SIZE, "%s", o->root);
    status rc = find_key(d);
    if (!rc) rc = plan_view(&(uint8_t){0}, p, "");
    if (!rc) rc = dicom_folder_read(&d->folder, o);
    if (!rc && !d->folder.count)
        rc = status_fail(STATUS_FORMAT, "%s: no DICOM file in it or its folders", o->root);
    if (!rc) rc = dicom_reports_open(&d->reports, &d->folder, o, &p->skips);
    if (!rc) rc = add_entries(d);
    if (!rc) warn(d);
    return rc || !o->labels ? rc : plan_read_labels(p, o->labels, ROW_ID, "dicom_id");
}

status plan_dicom(ingest_plan *p, const ingest_options *o) {
    dicom_plan *d = NULL;
    if (!*dicom_built())
        return status_fail(STATUS_USAGE, "--source dicom: this program was built without DICOM "
                                         "(RADIALOG_DICOM=OFF)");
    status rc = mem_new(&d, 1, "a plan of DICOM files");
    if (rc) return rc;
    d->plan = p;
    d->options = o;
    rc = make_plan(d);
    dicom_reports_close(d->reports);
    dicom_folder_free(&d->folder);
    buffer_free(&d->table);
    memset(&d->key, 0, sizeof d->key);
    mem_free(d);
    return rc;
}
