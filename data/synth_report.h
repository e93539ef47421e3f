// The report of a study of the embedded data set, written from its facts: one sentence for every positive,
// uncertain and negative label, nothing about blank ones. The wording is this project's own.
// Called by synth.c and tests.
#pragma once
#include "data/synth_study.h"

// How a report is laid out. Only SECTIONS has a findings section.
typedef enum report_kind {
    REPORT_SECTIONS,
    REPORT_IMPRESSION,  // no findings
    REPORT_COMBINED,    // "FINDINGS AND IMPRESSION"
    REPORT_PARAGRAPH,   // text behind the headers without one of its own
    REPORT_LOWER        // headers that are not in capitals
} report_kind;
report_kind synth_report_kind(const synth_study *s);

// Appends the text with its line ends. The error, if any, is in OUT.
void synth_report_write(buffer *out, const synth_study *s);
