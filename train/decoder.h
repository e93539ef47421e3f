// Sequences that are written many at a time, each in a slot of the cache: a step reads what is new
// of every sequence, prompts in pieces where they are long, and says one more token of each that
// has been read. A sequence depends on its own tokens alone, so it is the same (but for the order
// of sums) in any slot, beside any others, in any pieces. For a list of prompts (train/generator.h)
// and for conversations that come and go (train/assistant.h).
#pragma once
#include "eval/sampling.h"
#include "models/llama_generate.h"

typedef struct decoder_options {
    int64_t slots;     // sequences at a time
    int64_t rows;      // tokens of a step, at least one for each slot
    int64_t positions; // of a sequence, at most the model's
    int32_t end;       // token that ends an answer; -1: none does
    int32_t image_token;
    bool prefix; // keeps room for what all sequences begin with (decoder_prefix)
    // A slot remembers what was said in it: a prompt that begins alike, with the same image, is
    // read from where it differs.
    bool remember;
} decoder_options;

typedef enum decoder_state {
    DECODER_WRITES,
    DECODER_ENDED, // by the end token, which is not among what was said
    DECODER_FULL,  // as many tokens as were wanted, or no more positions
    DECODER_LOST   // no logit was a number
} decoder_state;

typedef struct decoder_prompt {
    const int32_t *ids; // (count), copied; 1 to positions - 1 of them
    int32_t count;
    const float *images; // (image_rows, image_width): of its image tokens in their order; copied
    int64_t image_rows;
    int32_t most; // tokens of the answer, the end token among them
    sampling choice;
    int64_t number; // which draws are keyed by
    void *context;
    // After each token: all that was said, IDS (COUNT), borrowed. The slot is free unless STATE is
    // WRITES.
    status (*said)(void *context, const int32_t *ids, int32_t count, decoder_state state);
} decoder_prompt;

typedef struct decoder decoder;

// Takes all memory but the tape's and images'. The tape and the model are borrowed. MEMORY.
status decoder_open(decoder **out, tape *t, const llama *m, const decoder_options *o);
void decoder_close(decoder *d);         // accepts NULL
size_t decoder_bytes(const decoder *d); // on the device, but for the tape's
// The largest step, in a dry run of the tape; and with the memory of the tape, which nothing else
// uses.
void decoder_dry(decoder *d);
status decoder_size(decoder *d);

// Reads what all sequences begin with, IDS (COUNT) without images; sequences begun later must. Of
// the device.
status decoder_prefix(decoder *d, const int32_t *ids, int64_t count);
// Forgets all sequences and counts.
void decoder_reset(decoder *d);

int64_t decoder_free(const decoder *d); // slots
int64_t decoder_busy(const decoder *d);
// Tokens that the next step has room for beside those of the sequences that are there.
int64_t decoder_room(const decoder *d);
// Puts P into a free slot (there must be one), where it agrees best; *SLOT may be NULL. FORMAT
// where the image tokens are not IMAGE_ROWS; MEMORY.
status decoder_begin(decoder *d, const decoder_prompt *p, int64_t *slot);
// The sequence in SLOT ends here; nothing more is said.
void decoder_drop(decoder *d, int64_t slot);
// One step of all sequences. What callbacks return; of the device.
status decoder_step(decoder *d);

typedef struct decoder_counts {
    int64_t steps, prompts, read, written; // read, written: tokens
    int64_t shared;                        // of the common prefix
    int64_t known;                         // tokens of prompts that slots remembered
} decoder_counts;
decoder_counts decoder_counted(const decoder *d);
