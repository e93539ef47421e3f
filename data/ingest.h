// Makes a shard directory from images and reports: the one way data get into training.
//
// Output depends on inputs and options alone: no time, host or path is written, and a run that was
// killed and started again leaves the same bytes as one that was not. Records that cannot be used are
// skipped, counted (manifest.json) and listed (skipped.csv).
#pragma once
#include "data/dataset.h"
#include "data/dicom_recipe.h"
#include "data/sections.h"

typedef enum ingest_source { INGEST_MIMIC, INGEST_FOLDER, INGEST_DICOM, INGEST_SOURCES } ingest_source;
extern const char *const ingest_source_names[INGEST_SOURCES]; // "mimic", "folder", "dicom"

typedef enum ingest_compression { INGEST_NONE, INGEST_DEFLATE, INGEST_COMPRESSIONS } ingest_compression;
extern const char *const ingest_compression_names[INGEST_COMPRESSIONS]; // "none", "deflate"

//  X(name in C, name in manifest.json and skipped.csv)
#define SKIP_LIST(X)                                                                               \
    X(NONE, "none")                                                                                \
    X(BAD_ROW, "bad row")             /* a field is missing or malformed */                        \
    X(DUPLICATE, "duplicate id")      /* the first one is kept */                                  \
    X(SPLIT, "unknown split")                                                                      \
    X(NO_IMAGE, "missing image")                                                                   \
    X(BAD_IMAGE, "bad image")         /* truncated, damaged, unreadable or no image at all */      \
    X(NO_REPORT, "missing report")                                                                 \
    X(BAD_REPORT, "bad report")       /* not UTF-8 text, or too long */                            \
    X(NO_FINDINGS, "no findings section")                                                          \
    X(NO_RADIOGRAPH, "not a radiograph") /* a DICOM image of another modality */                   \
    X(COMPRESSION, "unsupported compression") /* the detail names the transfer syntax */

typedef enum skip_reason {
#define X(name, text) SKIP_##name,
    SKIP_LIST(X)
#undef X
    SKIP_COUNT
} skip_reason;
extern const char *const skip_names[SKIP_COUNT];

typedef struct ingest_options {
    ingest_source source;
    const char *root;   // mimic: holds mimic-cxr-jpg/ and mimic-cxr-reports/; folder: paths start here
    const char *out;    // the shard directory; made if missing
    const char *csv;    // folder, dicom: the table; NULL: ROOT/data.csv
    const char *labels; // mimic, dicom: CSV of dicom_id and 14 classes; NULL: see ingest_run
    const char *key;    // dicom: the file that ids are hashed with; NULL: ROOT/radialog-ids.key
    dicom_recipe intensity; // dicom
    ingest_compression compression;
    sections_variant sections;  // which history of the section parser; see data/sections.h
    int64_t shard_records;      // rows of the source per shard, 1 to 2,048; 0: 2,048
    int threads;                // 0: as OpenMP says
    bool keep_without_findings; // else such records are skipped, as the reference drops them
    bool strict;                // any skipped record makes the run fail at its end
    uint64_t seed;              // folder, dicom: splits of patients where the table gives none
    double validate, test;      // folder, dicom: fractions of patients; both 0: 0.1 and 0.1
    bool (*stop)(void);         // NULL, or asked between images: true ends with INTERRUPTED
} ingest_options;

typedef struct ingest_summary {
    int64_t records, splits[SPLIT_COUNT];
    int64_t positives[CLASS_COUNT];
    int64_t skipped_total, skipped[SKIP_COUNT];
    int64_t unlabelled;                  // records kept with 14 blanks
    int64_t shared_patients;             // patients found in more than one split
    int64_t shards, shards_made;         // made in this run; 0: everything was there already
    double seconds;
} ingest_summary;

// mimic: ROOT/mimic-cxr-jpg/VERSION/ (the highest that holds a split CSV, plain or .gz), reports under
// ROOT/mimic-cxr-reports/files or ROOT/mimic-cxr-reports. Labels by dicom_id from options->labels or
// ROOT/finding_chexbert_labels.csv, else by study from MIMIC's own chexpert CSV.
// folder: a CSV with the columns image, report (text, or the path of a .txt file) or findings, and
// optionally id, patient, study, split, view, impression and the 14 classes by name.
// dicom: every DICOM file below ROOT; reports as data/dicom_reports.h says, labels from options->labels or
// the table of reports. All ids are pseudonyms; beside the key stands a table of files and their ids. In
// skipped.csv a line is a file's in that table.
//
// Errors: USAGE (options), IO, FORMAT (tables unusable, nothing kept, a directory of another plan,
// strict), MEMORY, INTERRUPTED. OUT_SUMMARY is filled as far as the run came.
status ingest_run(ingest_summary *summary, const ingest_options *options);
