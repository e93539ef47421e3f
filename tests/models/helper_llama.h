// The twin of scripts/golden/llama_reference.py: a small LLaMA, its conversations and its batches.
// For tests only: what is missing stops the program.
#pragma once
#include "models/llama.h"
#include "optim/adamw.h"
#include "tests/models/helper_bert.h"

// As in the script.
enum {
    LLAMA_STEPS = 5,
    LLAMA_SAMPLES = 4, // of a step
    LLAMA_LONGEST = 22,
    LLAMA_PREFIX = 4,  // tokens that all begin with
    LLAMA_QUERIES = 4, // image tokens of a conversation that has an image
    LLAMA_IMAGE = 64   // the image token
};
extern const double llama_lr, llama_eps;

// What trains.
typedef enum llama_case {
    LLAMA_LORA,  // adapters on q and v, and the image projection
    LLAMA_SEVEN, // adapters on all layers, and the image projection
    LLAMA_FULL,  // everything; texts alone, of which every token is supervised
    LLAMA_TIED,  // the same, where the head is the embedding
    LLAMA_CASES
} llama_case;
extern const char *const llama_case_names[LLAMA_CASES];
llama_config llama_case_config(llama_case which);
safetensors *llama_case_open(llama_case which);

typedef struct speaker {
    reference_model base;
    llama_case which;
    llama model;
    llama_batch batch;
    tensor images; // (M, image_width)
    void *pixels;  // the same in host memory
} speaker;

// Weights drawn. FILE: rotary positions are those of the reference; NULL: llama_fill's.
void speaker_open(speaker *s, bool oracle, llama_case which, const llama_config *c,
                  const safetensors *file);
// The same on D, which belongs to S from now on.
void speaker_open_on(speaker *s, device *d, llama_case which, const llama_config *c, const safetensors *file);
void speaker_close(speaker *s);
// Takes samples FIRST to FIRST + COUNT - 1 of a step to the device, with their weights in the whole
// step's loss; SHARE: what they begin with once.
void speaker_load(speaker *s, int step, int first, int count, bool share);
// For reference_run, with a speaker as context.
tensor *speaker_loss(reference_model *m, void *speaker);
tensor *speaker_logits(reference_model *m, void *speaker);
// Runs the loaded batch, and back; the loss.
double speaker_run(speaker *s, rule_mutation *change);
// All that trains and has a gradient; returns how many.
int speaker_slices(const speaker *s, optim_slice *slices);
