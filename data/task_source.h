// All tasks as rows of instruct data: reports, and conversations of two turns about the records of
// the training split (REFERENCE 6.9), shuffled together. The first turn is the prompt for a report
// and the report (for CO the wrong one), the second what the task asks; the last answer alone is
// learned. Records of other splits are reports.
#pragma once
#include "data/explanations.h"
#include "data/report_source.h"
#include "data/task_answers.h"
#include "data/task_prompts.h"

typedef struct task_row {
    task task;
    int64_t record;
    int64_t
        number; // of the row in its task, which draws are keyed by; of RG: in the list of reports
    int64_t entry; // of the file of answers or explanations
} task_row;

typedef struct task_count {
    int64_t rows;
    int64_t part; // records that the draw gives the task; rows of EL, SU and RQA are those answered
    int64_t left_out; // explanations without a record, or that its report does not hold
} task_count;

typedef struct task_source {
    // All borrowed.
    const report_source *reports; // its list for training: the reports that are wanted
    const task_prompts *words;
    const task_answers *answers;      // NULL: none
    const explanations *explanations; // NULL: none
    bool wanted[TASK_COUNT];
    uint64_t seed;
    // Made by opening.
    task_row *row; // (rows): of the training split
    int64_t rows;
    size_t capacity;
    task_count count[TASK_COUNT];
    instruct_source inner; // of reports
} task_source;

// RECORD (COUNT): the training records that have a report, ascending. Errors: FORMAT (a prompt is
// missing), IO, MEMORY. To be closed also after a failure.
status task_source_open(task_source *s, const int64_t *record, int64_t count);
void task_source_close(task_source *s);
// S is borrowed until its rows have been read.
instruct_source task_source_rows(const task_source *s);
