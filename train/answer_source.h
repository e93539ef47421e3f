// Between instruct data and the generator: the prompts of a split, the image tokens they are about, and
// answers as texts. For the generate command and the validation of train lora.
#pragma once
#include "train/generate_prompts.h"
#include "train/generator.h"
#include "train/language_data.h"

typedef struct answer_source {
    instruct_set *data;    // borrowed, as the two below
    embeddings *images;    // NULL: texts alone, or
    const float *pictures; // (count, queries, width): of one image a prompt; borrowed
    int64_t queries, width;
    const tokenizer *tokens;
    bool blank;            // zeros for every image token
    generate_prompts prompts;
    const int64_t *record; // (count): which each is about, of DATA's; NULL: the I-th; borrowed
    int64_t first;         // the prompt that is the generator's number 0
    buffer before, text;   // of a prompt as it is decoded; and of all
} answer_source;

// After prompts were opened: frees them too.
void answer_source_close(answer_source *s);
// Prompts FIRST to FIRST + COUNT - 1 as a job, without its callbacks; CONTEXT is the caller's.
generator_job answer_source_job(answer_source *s, int64_t first, int64_t count);
// The vectors of the image tokens of the job's prompt I, OUT (rows, width). FORMAT, IO.
status answer_source_images(answer_source *s, int64_t i, int64_t rows, float *out);
// What IDS (COUNT) say behind the job's prompt I: borrowed until the next call (REFERENCE 7.3).
status answer_source_text(answer_source *s, int64_t i, const int32_t *ids, int32_t count,
                          const char **text);
