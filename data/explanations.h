// MIMIC-NLE: sentences of reports that explain diagnoses. JSON lines, of which report_ID (a study,
// "s" and its number), nle (the sentence) and diagnosis_label (a number for each of ten diagnoses,
// above 0: it is the one explained) are read (REFERENCE 6.1). Which of them become conversations is
// data/task_source.h's business.
#pragma once
#include "core/buffer.h"

enum { DIAGNOSIS_COUNT = 10 };
extern const char *const diagnosis_names[DIAGNOSIS_COUNT]; // in the file's order

typedef struct explanation {
    const char *study; // its number, without the "s"
    const char *text;
    uint16_t diagnoses; // a bit for each
} explanation;

typedef struct explanations explanations;

// Errors: IO; FORMAT with file and line (no such JSON, no study or text, another number of
// diagnoses, no line at all); MEMORY.
status explanations_open(explanations **out, const char *path);
void explanations_close(explanations *e); // accepts NULL
int64_t explanations_count(const explanations *e);
uint32_t explanations_checksum(const explanations *e);         // CRC-32 of the file
explanation explanations_at(const explanations *e, int64_t i); // borrowed
// Appends the diagnoses by name, as a sentence has them (data/tasks.h).
void explanation_names(buffer *out, const explanation *x);
