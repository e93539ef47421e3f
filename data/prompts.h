// The words that a language model is asked with: system text, roles, separators and the prompt for
// a report, all out of files, so that an adapter meets the words that it was trained with. Knows no
// tokenizer.
//
// Our own file (configs/prompts/) is an object of format "radialog-prompts", version 1, system,
// roles [user, assistant], separators [behind a user's turn, behind an assistant's], report, and
// optionally report_without_findings and image_token. RaDialog's vicuna_prompts.json, an object of
// texts, lacks the system text, which stands in a file of its own then.
//
// {image} and {findings} are filled in, {{ and }} are braces, as Python's str.format has it. What
// is filled in is never looked at again: braces in a report stay what they are.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

#define PROMPTS_IMAGE_TOKEN "<IMG>"
// The report's prompt in RaDialog's vicuna_prompts.json.
#define PROMPTS_RADIALOG_KEY "img_matching_examples_ig2_noexamples_IMG_findings"

typedef struct prompts_files {
    const char *prompts; // ours, or an object of prompts as RaDialog's
    const char *key;     // of the latter: which prompt; NULL: PROMPTS_RADIALOG_KEY
    const char *system;  // NULL or "": our own file's; a text file, needed for RaDialog's prompts
    // NULL or "": none. What is put around a whole conversation (RaDialog's vicuna_v11.json): its
    // prompt_no_input, with {instruction}.
    const char *wrapper;
} prompts_files;

typedef struct prompts prompts;

// Errors: IO; FORMAT with file and line or key (no such prompt, placeholders that are missing,
// unknown, given twice or not closed, a text that is not UTF-8 or empty); USAGE (a system text is
// needed); MEMORY.
status prompts_open(prompts **out, const prompts_files *files);
void prompts_close(prompts *p); // accepts NULL

// CRC-32 of all that the words before an answer depend on, whichever files they came from.
uint32_t prompts_hash(const prompts *p);
const char *prompts_image_token(const prompts *p); // "<IMG>"; borrowed
bool prompts_without_findings(const prompts *p); // whether there is a report prompt without them
// How many image tokens the report's prompt holds as such, in place of {image}; 0: it has {image}.
int prompts_literal_tokens(const prompts *p);

// Appends what the user says who wants a report: {image} is IMAGE_TOKENS image tokens without
// separators. FINDINGS NULL: the prompt without findings, which must be there.
void prompts_report(buffer *out, const prompts *p, const char *findings, int image_tokens);

// Appends a conversation of COUNT messages, the user's first, then by turns (REFERENCE 5.6): system
// text, separator, and for each message its role, a colon and, unless it is NULL or empty, a blank,
// the message and the role's separator. An answer that is to come is a last message that is NULL.
void prompts_conversation(buffer *out, const prompts *p, const char *const *message, int count);
// The same behind another SYSTEM text; NULL: the prompts' own.
void prompts_conversation_as(buffer *out, const prompts *p, const char *system,
                             const char *const *message, int count);

// Appends PROMPT, which ends where an answer begins, a blank, ANSWER, its end, and what the user
// asks next: an answer is to come again (REFERENCE 7.9).
void prompts_follow(buffer *out, const prompts *p, const char *prompt, const char *answer,
                    const char *question);

// Takes a conversation whose answer is to come apart: appends its messages, the user's first, to
// OUT, a NUL behind each; *COUNT: how many, an odd number. FORMAT: it is not made of these prompts,
// or a message is empty; MEMORY.
status prompts_split(buffer *out, int *count, const prompts *p, const char *conversation);
