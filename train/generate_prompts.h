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
} generate_prompts;

// The first LIMIT records (0: all) of SPLIT. WITHOUT: a text around which findings stand, its part
// before them and behind (see generate_frame); NULL: prompts as they are. Errors: FORMAT (a record whose
// prompt has no place for findings), IO, MEMORY.
typedef struct generate_frame {
    buffer before, behind;
} generate_frame;
// What stands around the findings in a report's prompt by the templates of section "instruct".
status generate_frame_open(generate_frame *f, const config *c, const instruct_facts *facts);
void generate_frame_close(generate_frame *f);

status generate_prompts_open(generate_prompts *p, instruct_set *data, int split, int64_t limit,
                             const tokenizer *t, const generate_frame *without);
void generate_prompts_close(generate_prompts *p);
const char *generate_prompts_name(const generate_prompts *p, int64_t i);
