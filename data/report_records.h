// Which records of a data set become prompts for reports, in which order, and what the prompts say
// of findings: by labels, or as a classifier predicted them (REFERENCE 6.4, 6.6, 6.7, 7.1).
#pragma once
#include "data/dataset.h"

// --- findings as predicted ----------------------------------------------------------------------

typedef struct predictions predictions;

// PATH: the JSON lines of `radialog classify` (dicom_id, findings: names of classes), or one object
// of lists of names by dicom_id, as RaDialog's dump. Told apart by the first line. Errors: IO;
// FORMAT with file and line (no such JSON, a name that is no class, an image that is there twice,
// none at all); MEMORY.
status predictions_open(predictions **out, const char *path);
void predictions_close(predictions *p); // accepts NULL
uint32_t predictions_checksum(const predictions *p); // CRC-32 of the file
// False if the file does not have that image.
bool predictions_find(bool positive[CLASS_COUNT], const predictions *p, const char *dicom_id);

// Appends what a prompt says where the labels are known: the names of the positive ones in class
// order, lower-case, joined by ", ". "No Finding" stays whatever stands beside it; none at all
// gives NOTHING. For predictions: findings_text of data/labels.h.
void findings_of_labels(buffer *out, const int8_t labels[CLASS_COUNT], const char *nothing);

// --- records ------------------------------------------------------------------------------------

typedef struct report_choice {
    int split;
    record_text section; // what a report is; records without it, or whose text is what pandas reads
                         // as missing, are left out
    int64_t limit;       // only the first so many of the others; 0: all
    // Of these, in order: the records with a finding, once more the same, then as many of the
    // others (No Finding, or nothing positive), drawn by SEED without replacement, as make one
    // fourteenth.
    bool stratify;
    uint64_t seed;
} report_choice;

// A positive label, and No Finding not among them.
bool report_has_finding(const int8_t labels[CLASS_COUNT]);
// How many of the others make one fourteenth beside WITH records that have a finding, each COPIES times, by the
// reference's arithmetic, rounding included (REFERENCE 6.7).
int64_t report_others_wanted(int64_t with, int copies);

typedef struct report_list {
    int64_t *record; // (count): numbers in the data set, stratified ones up to twice
    int64_t count;
    int64_t left_out;      // for want of a text
    int64_t with, other;   // before the draw: with a finding, without; drawn of the latter:
    int64_t drawn, wanted; // WANTED, or all that there are
} report_list;

// Errors: IO, FORMAT (a damaged shard), MEMORY.
status report_list_open(report_list *out, const dataset *set, const report_choice *how);
void report_list_free(report_list *l);
