// Answers to a list of prompts, many at a time: a slot whose answer has ended takes the next prompt at
// once, and what all prompts begin with is computed once (train/decoder.h).
#pragma once
#include "train/decoder.h"

typedef struct generator_options {
    int64_t slots;   // sequences at a time
    int64_t rows;    // tokens of a step; at least one prompt fits in any case
    int64_t most;    // tokens of an answer, the end token among them
    int32_t end;     // token that ends an answer; -1: none does
    int32_t image_token;
    bool share;      // what all prompts begin with
    bool remember;   // of a prompt that begins as another did, with the same image, only what differs is read
    bool patient;    // goes on after a signal
    sampling choice;
} generator_options;

// What is asked. All borrowed.
typedef struct generator_job {
    const int32_t *ids;   // of all prompts
    const int64_t *first; // (count + 1): prompt i is ids[first[i]] to ids[first[i + 1] - 1]
    int64_t count;
    int64_t number;       // of prompt 0, which draws are keyed by
    void *context;
    // The vectors of prompt I's image tokens, OUT (rows, image_width); NULL: there are none.
    status (*images)(void *context, int64_t i, int64_t rows, float *out);
    // The answer to prompt I, without an end token: called in the order of prompts.
    status (*done)(void *context, int64_t i, const int32_t *ids, int32_t count);
} generator_job;

typedef struct generator generator;

// Takes all memory for JOB but the tape's. The tape and the model are borrowed. FORMAT where a prompt is
// empty or leaves no room in the model's positions; MEMORY.
status generator_open(generator **out, tape *t, const llama *m, const generator_options *o,
                      const generator_job *job);
void generator_close(generator *g); // accepts NULL
size_t generator_bytes(const generator *g); // on the device, but for the tape's
// The largest step, in a dry run of the tape.
void generator_dry(generator *g);
// The same, and takes the memory of the tape, which nothing else uses.
status generator_size(generator *g);
// All of it, once or again. INTERRUPTED after a signal; whatever was handed over is sound. Others: what the callbacks
// return; FORMAT where a logit is not a number; of the device.
status generator_run(generator *g);
// Of the latest run.
typedef decoder_counts generator_counts;
generator_counts generator_counted(const generator *g);
