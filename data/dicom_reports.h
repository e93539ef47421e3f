// Which report belongs to which DICOM image: the second half of an ingest of DICOM. Looked for in
// this order: a table (options->csv, or ROOT/data.csv if it is there), a text file, a structured
// report of the study. For data/ingest_dicom.c.
//
// The table's columns: image (a path from ROOT, or an SOP instance UID) or study (a study instance
// UID, or an accession number); report (text, or the path of a .txt file from ROOT) or findings;
// optionally impression, split and the 14 classes by name. A text file is named as its image
// (a/b.dcm: a/b.txt), or by study instance UID or accession number.
#pragma once
#include "data/dicom_folder.h"
#include "data/ingest_plan.h"

typedef struct dicom_report {
    skip_reason skip; // why there is none
    const char *detail;
    const char *report, *findings, *impression; // borrowed
    bool is_inline;                             // REPORT is the text, not a path
    const char *split;                          // of the table, NULL: it has no such column
    int8_t labels[CLASS_COUNT];
} dicom_report;

typedef struct dicom_reports dicom_reports;

// F is borrowed until dicom_reports_close. Rows of the table that cannot be used join SKIPS, with
// line 0: their detail names the table's line.
status dicom_reports_open(dicom_reports **out, const dicom_folder *f, const ingest_options *o,
                          skip_list *skips);
void dicom_reports_close(dicom_reports *r); // accepts NULL
void dicom_reports_find(dicom_report *out, dicom_reports *r, const dicom_entry *e);
// Adds the rows of the table that no image was found for.
status dicom_reports_unused(const dicom_reports *r, skip_list *skips);
