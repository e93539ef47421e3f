// What the benchmarks of language models share: the model's sizes, and conversations whose lengths and
// beginnings are like those of radiology reports: a system text that all have in common, an image, the
// findings and the question, 150 to 190 tokens together, and an answer of 20 to 410, about 290 in all.
// Words are random. scripts/bench/peer_llama.py makes the same.
#pragma once
#include "train/bench.h"
#include "train/language_model.h"

enum { BENCH_IMAGE_TOKENS = 32 };

typedef struct bench_conversations {
    int32_t *ids;          // conversation i: ids[first[i]] to ids[first[i + 1] - 1]
    int64_t *first;        // (count + 1)
    int32_t *span;         // (count, 2): the answer of each
    int64_t count, answers, longest; // answers: tokens of them
    int32_t image_token;   // behind the vocabulary of the base; -1: the model takes no images
} bench_conversations;

// The model of the folder model.base, with the image token's row behind its vocabulary.
status bench_language_config(llama_config *out, const config *c);
// MEMORY; USAGE where the model has too few positions.
status bench_conversations_make(bench_conversations *x, const llama_config *m, int64_t count);
void bench_conversations_free(bench_conversations *x);
// Random numbers in (-1, 1) for all of X, as its type has them, in host memory.
void bench_images(void *to, const tensor *x);
