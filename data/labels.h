// The 14 observations of the CheXpert vocabulary: their names, their order, what a label field says,
// and the words for them that stand in prompts. Which file a label comes from is ingest's business.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

// The order of RaDialog's code: "No Finding" first, "Support Devices" last.
enum {
    CLASS_NO_FINDING = 0,
    CLASS_PLEURAL_EFFUSION = 10,
    CLASS_SUPPORT_DEVICES = 13,
    CLASS_COUNT = 14
};
extern const char *const class_names[CLASS_COUNT];

enum { LABEL_POSITIVE = 1, LABEL_NEGATIVE = 0, LABEL_UNCERTAIN = -1, LABEL_BLANK = -2 };

// The index of the class with exactly this name, -1 if there is none.
int class_find(const char *name);

// A label field: 1, 0 or -1, with or without decimals, or missing (blank). Anything else is a FORMAT
// error.
status label_parse(int8_t *out, const char *text);

// True for an empty field and for the exact words that pandas 1.3 reads as missing (NA, nan, ...).
bool text_is_missing(const char *text);

// "No Finding" is taken back beside anything but "Support Devices".
void findings_resolve(bool positive[CLASS_COUNT]);
// Appends the names of the classes in SET, in class order, lower-case, joined by ", ", or, where there is none,
// NOTHING.
void classes_list(buffer *out, const bool set[CLASS_COUNT], const char *nothing);
#define NO_COMMON_FINDINGS "no common findings"
// The same of the positive classes, resolved; nothing positive gives NO_COMMON_FINDINGS.
void findings_text(buffer *out, const bool positive[CLASS_COUNT]);
