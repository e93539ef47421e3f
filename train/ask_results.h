// What came of the questions of `radialog ask`: findings scored, reports with corrections in their
// places.
#pragma once
#include "core/config.h"
#include "eval/findings_answers.h"
#include "eval/intervals.h"
#include "train/ask_prompts.h"

// What a line says behind its answer TEXT to prompt I of P: members of an object, a comma before
// each. MEMORY.
status ask_results_line(const ask_prompts *p, const char *text, buffer *line);

// The scores of CPbQA and CPaQA by the answers in the file PATH, all of which are there.
typedef struct ask_scores {
    int64_t records;
    interval score[FINDINGS_SCORES];
    clinical_scores classes;
} ask_scores;

// Errors: IO, FORMAT with file and line, MEMORY.
status ask_scores_measure(ask_scores *out, const ask_prompts *p, const char *path,
                          const interval_options *how);
status ask_scores_show(const ask_scores *s, buffer *out);
void ask_scores_json(const ask_scores *s, const ask_prompts *p, buffer *out);

// All records' reports as the file OUT (JSON lines as of `radialog generate`): the answers in the
// file PATH where a correction was asked for, else what was written before. *CORRECTED: how many of
// the former.
status ask_corrected_write(const char *out, const ask_prompts *p, const char *path,
                           int64_t *corrected);
