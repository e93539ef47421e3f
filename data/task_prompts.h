// The words of tasks (data/tasks.h): what the user asks in training, one of several texts; what is
// asked of a trained model at test time, always the same (REFERENCE 7.9, 7.10); and what a language
// model is asked that writes answers to be learned. Conversations around them are data/prompts.h's.
//
// Our own file (configs/prompts/tasks.json) is an object of format "radialog-task-prompts", version
// 1, and, each optional, system (of requests to a writer), train, ask and write: objects by the
// names below; lists of texts in train, one text in the others. {finding}, {add}, {remove},
// {report} and {prompt} are filled in; other braces are what they are.
//
// A folder instead: RaDialog's NAME_prompts.csv with their one column, where <X>, <add> and <rem>
// are filled in. A file tasks.json of our form beside them may say the rest; without, the first
// prompt of each is what is asked at test time.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

// X(name in C, name in files)
#define TASK_TEXT_LIST(X)                                                                          \
    X(EL, "EL")                                                                                    \
    X(SU, "SU")                                                                                    \
    X(RQA, "RQA")                                                                                  \
    X(CO_ADD, "CO_add")   /* something is missing: {add} */                                        \
    X(CO_REM, "CO_rem")   /* something is wrong: {remove} */                                       \
    X(CO_BOTH, "CO_both") /* both */                                                               \
    X(RE, "RE")           /* {finding} */                                                          \
    X(CPBQA, "CPbQA")     /* {finding} */                                                          \
    X(CPAQA, "CPaQA")                                                                              \
    X(IG, "IG")

typedef enum task_text {
#define X(name, text) TEXT_OF_##name,
    TASK_TEXT_LIST(X)
#undef X
        TASK_TEXTS
} task_text;

// In WRITE, those of EL, SU and RQA hold {report} and {prompt}, those of CO {report} and what is
// wrong; the others are not there.
typedef enum task_use { TASK_TRAIN, TASK_ASK, TASK_WRITE, TASK_USES } task_use;

// NULL where there is nothing to fill in.
typedef struct task_words {
    const char *finding, *add, *remove, *report, *prompt;
} task_words;

typedef struct task_prompts task_prompts;

// PATH: a file, or a folder. Errors: IO; FORMAT with file and line (an unknown key, a text without
// a placeholder that it needs, with one that nothing is known of there, empty, with control
// characters); MEMORY.
status task_prompts_open(task_prompts **out, const char *path);
void task_prompts_close(task_prompts *p);          // accepts NULL
uint32_t task_prompts_hash(const task_prompts *p); // CRC-32 of all words
const char *
task_prompts_system(const task_prompts *p); // of requests to a writer; NULL: none is given

// FORMAT, naming file and key, if there is none.
status task_prompts_need(const task_prompts *p, task_use use, task_text text);
int task_prompts_count(const task_prompts *p, task_use use, task_text text);
// Appends text I of them, filled in. What is filled in is never looked at again.
void task_prompts_fill(buffer *out, const task_prompts *p, task_use use, task_text text, int i,
                       const task_words *words);
// Of a correction's texts the one for what is missing (ADD), wrong (REMOVE), or both; one of them
// holds.
task_text task_correction_text(bool add, bool remove);
