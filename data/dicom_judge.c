#include "data/dicom_judge.h"

#include <stdio.h>
#include <string.h>

// A file may have anything where a code belongs: what is not known is not repeated.
static const char *known_modality(const char *text) {
    static const char *const known[] = {
        "CT", "MR", "US", "XA", "RF",  "MG",      "NM",     "PT",       "OT",    "ES",
        "IO", "PX", "XC", "SC", "SR",  "PR",      "KO",     "SEG",      "DOC",   "RG",
        "DR", "BI", "GM", "SM", "REG", "RTIMAGE", "RTDOSE", "RTSTRUCT", "RTPLAN"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(text, known[i])) return text;
    return "unknown";
}

skip_reason dicom_judge(char *detail, size_t room, const dicom_facts *f) {
    if (f->kind == DICOM_OTHER) {
        snprintf(detail, room, "modality %s, not CR or DX", known_modality(f->modality));
        return SKIP_NO_RADIOGRAPH;
    }
    if (!f->compression[0]) return SKIP_NONE;
    snprintf(detail, room, "%s", f->compression);
    return SKIP_COMPRESSION;
}
