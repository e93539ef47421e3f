// What a language model is asked that writes the answers of tasks (REFERENCE 6.9): EL, SU and RQA
// about the real report, CO about a wrong one. Text alone: no image, no findings beside it.
#pragma once
#include "core/config.h"
#include "data/corrections.h"
#include "data/prompts.h"
#include "data/report_records.h"
#include "data/task_prompts.h"
#include "data/tasks.h"
#include "train/generate_prompts.h"

typedef struct answer_request {
    task task;
    int64_t record;
    size_t prompt; // what the user of the conversation asks: places in the texts
    size_t report; // the wrong one of CO
} answer_request;

typedef struct answer_requests {
    // All borrowed.
    const dataset *set;
    const prompts *words;
    const task_prompts *tasks;
    const corrections *mistakes; // NULL: no CO
    const tokenizer *tokens;
    record_text section;
    uint64_t seed;
    bool wanted[TASK_COUNT];
    int64_t positions; // of the model: longer requests are left out
    int64_t most;      // of a task; 0: all
    // Made by opening.
    answer_request *list;
    int64_t count;
    int64_t left_out;         // too long, or with an image's token
    buffer texts;             // a NUL behind each
    generate_prompts prompts; // as ids, named by record: whoever answers closes them
    size_t capacity;
} answer_requests;

// The requests about RECORD (COUNT), the training records that have a report. Errors: FORMAT (a
// prompt is missing), IO, MEMORY. To be closed also after a failure.
status answer_requests_open(answer_requests *r, const int64_t *record, int64_t count);
void answer_requests_close(answer_requests *r);
// What the line of request I begins with: members of an object, a comma behind each.
status answer_requests_line(const answer_requests *r, int64_t i, buffer *line);
