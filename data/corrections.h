// Reports that something wrote and what is wrong with them: where corrections begin
// (REFERENCE 6.1, 6.9, 7.9). Out of RaDialog's file of predictions, or added by whoever labels
// written reports.
#pragma once
#include "data/dataset.h"

typedef struct correction {
    int64_t record;
    size_t report;                                 // place in the texts
    bool wrong[CLASS_COUNT], missing[CLASS_COUNT]; // without No Finding
} correction;

typedef struct corrections {
    correction *list; // in the order of their file; one a record
    int64_t count;
    int64_t right, elsewhere; // left out: nothing is wrong; no record of the split, or had before
    buffer texts;             // of reports, a NUL behind each
    size_t capacity;
    int64_t
        *had; // (records of the data set): 0: not yet, -1: left out, else one more than its place
    const dataset *set; // borrowed
    int split;
} corrections;

// Nothing yet, about records of SPLIT of SET. Errors: MEMORY. To be closed also after a failure.
status corrections_open(corrections *c, const dataset *set, int split);
void corrections_close(corrections *c);
// The place of RECORD's; -1: it has none.
int64_t corrections_find(const corrections *c, int64_t record);
const char *corrections_report(const corrections *c, int64_t i); // borrowed
// REPORT on RECORD, in which SAID (CLASS_COUNT) is found. Errors: MEMORY.
status corrections_add(corrections *c, int64_t record, const char *report,
                       const int8_t said[CLASS_COUNT]);
// RaDialog's list of objects with dicom, pred_report, and fp and fn: names of classes. Errors: IO;
// FORMAT with file and line; MEMORY.
status corrections_read(corrections *c, const char *path);
