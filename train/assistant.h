// A language model, an aligner, a classifier and their words, kept open to be talked to. For chat
// and serve.
#pragma once
#include "train/conversation.h"
#include "train/decoder.h"
#include "train/language_inference.h"

typedef struct assistant {
    language_inference language;
    image_reader eyes;
    bool sees; // there is an aligner
    prompts *words;
    decoder *decoder; // remembers conversations
    int64_t positions;
    int32_t most;    // generate.max_new_tokens
    sampling choice; // of section "generate"
    bool unsaid;     // prompts say nothing of findings
    float *blank;    // image tokens in the place of all others; NULL: none
} assistant;

// Options for a command's list.
#define OPTIONS_ASSISTANT                                                                          \
    {"aligner", "PATH", "who turns radiographs into image tokens, a run of train aligner"}, {      \
        "classifier", "PATH", "whose findings stand in the prompt; none are named without"         \
    },                                                                                             \
        OPTION_INTENSITY

// PATH: as language_inference_open. SLOTS: conversations at a time; 0: as generate.slots says. To
// be closed also after a failure. USAGE, IO, FORMAT, MEMORY, DEVICE.
status assistant_open(assistant *a, const arguments *args, const config_key *const *tables,
                      int64_t slots);
void assistant_close(assistant *a);

typedef struct assistant_question {
    const char *system;         // NULL: the prompts' own
    const char *const *message; // (count): the user's first, then by turns; the last is the user's
    int count;
    const picture *picture; // NULL: none. The first message is the prompt for a report on it then,
                            // and what it says itself stands behind that.
    int32_t most;
    sampling choice;
    int64_t number; // which draws are keyed by
    void *context;
    status (*said)(void *context, const int32_t *ids, int32_t count, decoder_state state);
} assistant_question;

// Puts it into a free slot of the decoder, which there must be; IDS: those of the prompt (i32).
// USAGE where the question itself cannot be asked: it is too long, or holds an image's token as a
// text; MEMORY.
status assistant_ask(assistant *a, const assistant_question *q, buffer *ids, int64_t *slot);
