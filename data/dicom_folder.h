// All DICOM files below a folder, by what they say of themselves: the first half of an ingest of
// DICOM. Opens every file and reads it up to its pixels, on several threads. For
// data/ingest_dicom.c.
#pragma once
#include "core/files/fs.h"
#include "data/dicom.h"
#include "data/ingest.h"

// Texts of a file, as places in dicom_folder.texts; "" where it does not say.
typedef enum dicom_entry_text {
    ENTRY_PATH, // from the root
    ENTRY_INSTANCE,
    ENTRY_STUDY,
    ENTRY_ACCESSION,
    ENTRY_PATIENT, // with who gave the id, where that is said
    ENTRY_VIEW,    // PA, AP, LATERAL, ...; nothing that is no such term
    ENTRY_DETAIL,  // why it cannot be used
    ENTRY_TEXTS
} dicom_entry_text;

typedef struct dicom_entry {
    uint64_t text; // where its texts begin, each with its NUL
    dicom_kind kind;
    skip_reason skip; // SKIP_NONE: it can be used
    bool burned_in, secondary_capture;
} dicom_entry;

typedef struct dicom_folder {
    dicom_entry *entry; // in the byte order of their paths
    size_t count, capacity;
    buffer texts;
    names reports; // paths of all .txt files, from the root, in byte order
} dicom_folder;

// Errors: IO (a folder that cannot be listed), MEMORY, INTERRUPTED. A file that is no DICOM file is
// passed over, unless it ends in .dcm, .dicom or .ima; links to folders are not followed.
status dicom_folder_read(dicom_folder *out, const ingest_options *o);
void dicom_folder_free(dicom_folder *f);
const char *dicom_entry_get(const dicom_folder *f, const dicom_entry *e, dicom_entry_text which);
