// Radiographs in files as prompts for reports: their findings by a classifier, their image tokens by an aligner,
// both in the words that the adapter was trained with (REFERENCE 7.11). For `radialog generate RUN IMAGE...`.
#pragma once
#include "core/config.h"
#include "train/generate_prompts.h"
#include "train/image_reader.h"

typedef struct image_prompts {
    generate_prompts prompts; // named as the files
    float *tokens;            // (count, queries, width)
    int64_t queries, width;
    buffer findings; // of each picture, as its prompt says them, a NUL behind each; empty without a classifier
} image_prompts;

// PATH (COUNT) of pictures; C: the section "instruct", whose prompts are used. The models are
// closed before this returns. USAGE (prompts that do not suit), IO, FORMAT, MEMORY, DEVICE.
status image_prompts_open(image_prompts *p, const char *const *path, int count, const image_models *m,
                          const config *c, const tokenizer *t);
void image_prompts_close(image_prompts *p);
// What the prompt of picture I says of findings; NULL: nothing.
const char *image_prompts_findings(const image_prompts *p, int64_t i);
