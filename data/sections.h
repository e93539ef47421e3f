// Splits a radiology report into its sections by their upper-case headers, with the rules and the name
// table of the MIMIC-CXR report scripts. Knows no files; ingest hands it one report at a time.
//
// Two variants exist in history. RADIALOG sends every study through the parser. MIT_LCP first asks a
// table of studies whose conclusion was chosen by hand: a forced section, or forced characters.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

// One section: a range of the report's bytes, not yet stripped. NAME belongs to the sections.
typedef struct section {
    const char *name;
    size_t start, end;
} section;

typedef struct sections {
    const char *report; // borrowed
    section *list;      // in the order of the report
    size_t count, capacity;
    char *names; // lower-case names that stand in no table, each with its NUL
} sections;

// Turns CR LF and lone CR into LF, in place, as text files are read where the rules come from. Returns the
// new length.
size_t report_newlines(char *report);

// Parses REPORT (lines end in LF), which must outlive the sections.
status sections_parse(sections *out, const char *report);
void sections_free(sections *s);

// Appends the last section of that name to OUT without the white space around it; false if there is
// none. A section without text counts as there.
bool sections_last(buffer *out, const sections *s, const char *name);

// Appends findings text as the training data hold it: line feeds deleted (not replaced by a blank), the
// white space around it removed.
void findings_clean(buffer *out, const char *text);

// Appends a report as CheXbert reads it (REFERENCE 7.5): runs of white space become one blank, the white
// space around the text goes.
void report_clean(buffer *out, const char *text);

typedef enum sections_variant {
    SECTIONS_RADIALOG,
    SECTIONS_MIT_LCP,
    SECTIONS_VARIANTS
} sections_variant;
extern const char *const sections_variant_names[SECTIONS_VARIANTS]; // "radialog", "mit-lcp"

// What is forced for a study: the last section of that name, or the characters [start, end).
typedef struct section_rule {
    int64_t study;
    const char *name; // NULL where a range is forced
    int start, end;   // characters, not bytes
} section_rule;

// The rule of a study ("s50000001" or "50000001"), NULL if there is none.
const section_rule *section_rule_find(const char *study);

// Appends the text that stands for the study's conclusion: with MIT_LCP the forced one (a range as it
// is, a section stripped), else the last section of impression, findings, last_paragraph, comparison,
// in this order of preference. Returns the section's name, "range" for a forced range, NULL if there
// is no such section.
const char *sections_conclusion(buffer *out, const sections *s, const char *study,
                                sections_variant variant);

// True where the variant gives STUDY a row in its table of sections: MIT_LCP leaves out the studies
// with a rule.
bool sections_listed(const char *study, sections_variant variant);
