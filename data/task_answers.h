// Answers to be learned that something else wrote, as `radialog answer` leaves them: JSON lines
// with task (EL, SU, RQA, CO or any other), dicom_id, prompt (what the user of the conversation
// asks), text (the answer) and, for CO, report (the wrong one, which stands in the place of the
// real one). Other members are passed over. The lines stay in the file, which is mapped.
#pragma once
#include "data/dataset.h"
#include "data/tasks.h"

typedef struct task_answers task_answers;

// Those about records of SPLIT of SET, which is borrowed. Errors: IO; FORMAT with file and line (no
// such JSON, a member that is missing, an unknown task, an empty prompt, no line at all); MEMORY.
status task_answers_open(task_answers **out, const char *path, const dataset *set, int split);
void task_answers_close(task_answers *a);              // accepts NULL
uint32_t task_answers_checksum(const task_answers *a); // CRC-32 of the file
int64_t task_answers_count(const task_answers *a);     // those kept
int64_t task_answers_elsewhere(const task_answers *a); // those about other records

typedef struct task_answer {
    task task;
    int64_t record;
} task_answer;
task_answer task_answers_at(const task_answers *a, int64_t i);
// Appends what line I says, the text without the white space around it; any thread.
status task_answers_read(const task_answers *a, int64_t i, buffer *prompt, buffer *text,
                         buffer *report);
