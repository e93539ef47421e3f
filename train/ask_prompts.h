// What a trained model is asked behind its own report, as the reference asks at test time
// (REFERENCE 7.9, 7.10): to correct it, about each finding, for a list of findings; or, behind the
// real findings, for the impression.
#pragma once
#include "data/corrections.h"
#include "data/instruct.h"
#include "data/task_prompts.h"
#include "data/tasks.h"
#include "train/generate_prompts.h"

enum { ASK_BLOCK = 16 }; // records: with twice as many slots, few are read twice

typedef struct ask_prompts {
    // All borrowed.
    instruct_set *data; // whose prompts for reports begin the conversations
    int split;
    const dataset *set; // labels and reports
    const prompts *words;
    const task_prompts *tasks;
    const tokenizer *tokens;
    task task;                   // CO, CPbQA, CPaQA or IG
    const corrections *mistakes; // of CO
    const char *const *report;   // (records): behind the first prompts; NULL: the real findings
    // Made by opening.
    int64_t records;  // of the split, at most LIMIT
    int64_t *in_set;  // (records): their numbers in SET
    int64_t *record;  // (prompts): which record of DATA's
    uint8_t *finding; // (prompts): of CPbQA, which class
    size_t capacity, finding_capacity;
    // Of CO and IG fewer than records. Of CPbQA one a class: blocks of some records, in each all
    // first questions, then all second ones, so that what was read of a record is still known when
    // it is asked about again.
    generate_prompts prompts;
} ask_prompts;

// Finds the first LIMIT records (0: all) of the split in the shards. FORMAT (a record that is no
// report, or none of the shards), IO, MEMORY. To be closed also after a failure.
status ask_prompts_find(ask_prompts *p, int64_t limit);
// Makes the prompts; reports and mistakes are known. FORMAT, IO, MEMORY.
status ask_prompts_open(ask_prompts *p);
void ask_prompts_close(ask_prompts *p);

// Appends what is asked of a report that X has something to say of. FORMAT (P has no such text), MEMORY.
status ask_correction(buffer *out, const task_prompts *p, const correction *x);
