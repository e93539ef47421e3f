// What `radialog generate` asks: the prompts of a split of instruct data as token ids, tokenised anew as
// the text that they are (REFERENCE 7), with what they said of findings taken out where that is wanted.
#pragma once
#include "core/config.h"
#include "data/instruct.h"

typedef struct generate_prompts {
    instruct_set *data; // borrowed
    int split;
    int64_t count;
    buffer ids;     // i32, of all prompts
    int64_t *first; // (count + 1)
    buffer names;   // records' ids, a NUL behind each
    int64_t *name;  // (count): where each begins
    size_t first_capacity, name_capacity; // where prompts are added one by one
} generate_prompts;

// What stands around the findings in a prompt.
typedef struct generate_frame {
    buffer before, behind;
} generate_frame;
// That of a report's prompt by the templates of section "instruct".
status generate_frame_open(generate_frame *f, const config *c, const instruct_facts *facts);
void generate_frame_close(generate_frame *f);

// The first LIMIT records (0: all) of SPLIT. WITHOUT: around which findings stand that are taken out; NULL: prompts
// as they are. Errors: FORMAT (a record whose prompt has no place for findings), IO, MEMORY.
status generate_prompts_open(generate_prompts *p, instruct_set *data, int split, int64_t limit,
                             const tokenizer *t, const generate_frame *without);
// To prompts that are all zero at first: one more, TEXT (LENGTH) about the record NAME. MEMORY, and what
// tokenizer_encode says.
status generate_prompts_add(generate_prompts *p, const tokenizer *t, const char *text, size_t length,
                            const char *name);
// Takes the last of these back.
void generate_prompts_drop(generate_prompts *p);
// Tokens of prompt I.
int64_t generate_prompts_length(const generate_prompts *p, int64_t i);
void generate_prompts_close(generate_prompts *p);
const char *generate_prompts_name(const generate_prompts *p, int64_t i);
