// Conversations with a model as token ids, in the words and the layout that its adapters were
// trained with (REFERENCE 5.6, 5.7, quirk 17), and its answers as text, piece by piece. For
// generate with images, chat and serve.
#pragma once
#include "core/config.h"
#include "data/prompts.h"
#include "data/tokenizer.h"
#include "train/image_reader.h"

// The prompts of section "instruct". M, QUERIES: what will look at images; 0: nothing. USAGE where
// they do not suit.
status conversation_prompts(prompts **out, const config *c, const image_models *m, int64_t queries);

// Appends the ids (i32) of COUNT messages, the user's first, then by turns, and of what stands
// before an answer to the last. SYSTEM NULL: the prompts' own.
status conversation_encode(buffer *ids, const prompts *words, const tokenizer *t,
                           const char *system, const char *const *message, int count);

// An answer that is being written.
typedef struct answer_text {
    const tokenizer *tokens; // borrowed
    buffer ids; // i32: the end of the prompt, by which pieces of a word are joined, then the answer
    size_t context, before; // tokens and bytes of that end
    buffer text;            // as of the latest call
    size_t given;           // bytes of the answer that were handed out
} answer_text;

// Behind PROMPT (COUNT). To be closed also after a failure.
status answer_text_begin(answer_text *a, const tokenizer *t, const int32_t *prompt, int32_t count);
void answer_text_close(answer_text *a);
// IDS (COUNT): all that was said so far. *NEW: *LENGTH bytes that are certain now, borrowed until
// the next call; what may be a part of a character is held back unless the answer is WHOLE.
status answer_text_next(answer_text *a, const int32_t *ids, int32_t count, bool whole,
                        const char **new, size_t *length);
// All that was handed out; borrowed.
const char *answer_text_all(const answer_text *a);
