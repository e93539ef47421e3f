// The tasks that conversations teach: their names and, drawn by a seed, which records of the
// training split become which task's, with which of its prompts and which question (REFERENCE 6.9).
// Draws are keyed by a row's number in its task, so that they depend neither on threads nor on the
// other tasks that are wanted. Knows no words: those are data/task_prompts.h's.
#pragma once
#include "core/buffer.h"
#include "data/labels.h"

//  X(name in C, name in files, what it is)
#define TASK_LIST(X)                                                                               \
    X(RG, "RG", "report")                                                                          \
    X(EL, "EL", "easy language")                                                                   \
    X(SU, "SU", "summary")                                                                         \
    X(RQA, "RQA", "question about a region")                                                       \
    X(CO, "CO", "correction")                                                                      \
    X(RE, "RE", "reasoning")                                                                       \
    X(CPBQA, "CPbQA", "is a finding there")                                                        \
    X(CPAQA, "CPaQA", "which findings are there")                                                  \
    X(IG, "IG", "impression")

typedef enum task {
#define X(name, text, says) TASK_##name,
    TASK_LIST(X)
#undef X
        TASK_COUNT
} task;
extern const char *const task_names[TASK_COUNT];
int task_find(const char *name); // -1: there is none of that name

// Appends NAME (COUNT) as a sentence has them: "a", "a and b", "a, b and c".
void task_names_join(buffer *out, const char *const *name, int count);
// The same of the classes in SET, in class order, as they are written.
void task_classes_join(buffer *out, const bool set[CLASS_COUNT]);
// What a report that was SAID to find this has too much and what it lacks, without No Finding
// (REFERENCE 7.9): only LABEL_POSITIVE counts. False: neither.
bool task_mistakes(bool wrong[CLASS_COUNT], bool missing[CLASS_COUNT],
                   const int8_t said[CLASS_COUNT], const int8_t truth[CLASS_COUNT]);

// --- draws --------------------------------------------------------------------------------------

enum { TASK_PARTS = 6 };

// The records of EL, SU, RQA, CPbQA and CPaQA: a permutation of all, cut into six parts whose sizes
// differ by one at most, the larger ones first: EL, -, SU, -, RQA and one that is cut once more.
// Other tasks have none.
typedef struct task_parts {
    int64_t *record; // all of them, permuted
    int64_t first[TASK_COUNT], count[TASK_COUNT];
} task_parts;

// Of RECORD (COUNT). Errors: MEMORY.
status task_parts_draw(task_parts *out, const int64_t *record, int64_t count, uint64_t seed);
void task_parts_free(task_parts *p);

// Which of COUNT prompts row ROW of T gets.
int task_prompt_draw(task t, uint64_t seed, int64_t row, int count);

// What CPbQA asks. With probability 0.6, and if there is one, about one of the findings whose label
// is positive; else about one of the 13 that are not (blank and uncertain ones too); never about No
// Finding.
typedef struct task_question {
    int finding;
    bool yes;
} task_question;
task_question task_question_draw(const int8_t labels[CLASS_COUNT], uint64_t seed, int64_t row);
