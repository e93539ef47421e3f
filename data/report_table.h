// Reports out of files that no ingest has seen, for `radialog label`, and tables of labels as
// MIMIC-CXR and the reference keep them. Whole files, in memory; what the texts become is
// data/texts.h's business.
#pragma once
#include "data/labels.h"

typedef struct report_options {
    const char *column; // of a table, or key of JSON lines; NULL: the first of findings, Report
                        // Impression, report, text that there is
    bool headerless; // a table whose first row is a report: column 0, as CheXbert is given them
} report_options;

typedef struct report_table report_table;

// Reads PATH by its ending:
//   .csv, .csv.gz  a report a row; what pandas reads as missing (NaN, ...) is an empty one
//   .jsonl         an object a line, its report a string or null (empty); blank lines do not count
//   .txt           one report
// An id is the field dicom_id, else study_id (in JSON a string or a whole number), else the row's
// number from 1 on. Errors: IO; FORMAT with file and line (a bad row, not UTF-8, no such column, no
// report at all); USAGE (another ending, options that do not suit it); MEMORY.
status report_table_open(report_table **out, const char *path, const report_options *options);
void report_table_close(report_table *t); // accepts NULL

int64_t report_table_count(const report_table *t);
const char *const *
report_table_texts(const report_table *t); // (count), borrowed: for texts_open_list
const char *const *report_table_ids(const report_table *t);  // (count), borrowed
const char *report_table_id_name(const report_table *t);     // "dicom_id", "study_id" or "row"
int64_t report_table_line(const report_table *t, int64_t i); // of the file, from 1 on

// Appends a table of labels: the column ID_NAME and the 14 classes in their order, then COUNT rows
// of ID (count) and LABELS (count, CLASS_COUNT), each LABEL_...: "1.0", "0.0", "-1.0" or nothing,
// as in MIMIC's own tables. With dicom_id it is what `radialog ingest --labels` reads. Errors:
// MEMORY.
status label_table_print(buffer *out, const char *id_name, const char *const *id,
                         const int8_t *labels, int64_t count);
