// What the configuration says of tasks (instruct.tasks and the files beside it), for the commands
// that make conversations of them: instruct, answer and ask.
#pragma once
#include "core/config.h"
#include "data/task_source.h"

// The tasks that instruct.tasks names, by commas. USAGE names the unknown one, or says that there
// is none.
status task_settings_wanted(bool wanted[TASK_COUNT], const config *c);
// The prompts of section "instruct", system text and roles among them. USAGE, IO, FORMAT, MEMORY.
status task_settings_prompts(prompts **out, const config *c);

// The section of reports that instruct.section names.
record_text task_settings_section(const config *c);

// Conversations of all tasks around a source of reports.
typedef struct task_rows {
    task_prompts *words;
    task_answers *answers;
    explanations *explanations;
    report_list list; // the training records that have a report
    task_source source;
} task_rows;

// Opens the files that the wanted tasks need. REPORTS is borrowed. To be closed also after a
// failure. USAGE (a file is not named), IO, FORMAT, MEMORY.
status task_rows_open(task_rows *t, const config *c, const report_source *reports,
                      const bool wanted[TASK_COUNT]);
void task_rows_close(task_rows *t);
// CRC-32 of what the tasks add to what records depend on.
uint32_t task_rows_hash(const task_rows *t);
