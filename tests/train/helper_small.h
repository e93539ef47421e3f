// A small random language model with prompts, for tests of what writes with it.
#pragma once
#include "train/generator.h"

enum {
    VOCABULARY = 97, IMAGE = 96, IMAGE_WIDTH = 12, IMAGE_ROWS = 4,
    PROMPTS = 21, PREFIX = 6, MOST = 24, POSITIONS = 96
};

extern device *small_device;
extern int32_t small_end; // a token that ends some answers and others not

// A fixture's: the device, and a run that chooses the end token.
void small_devices_open(void);
void small_devices_close(void);

typedef struct small {
    params params;
    tape tape;
    llama model;
} small;

void small_open(small *s);
void small_open_sized(small *s, int64_t positions);
void small_close(small *s);
void small_tape(small *s); // a new one, without memory

typedef struct question {
    int32_t ids[PROMPTS * 64];
    int64_t first[PROMPTS + 1];
    int32_t answer[PROMPTS][MOST], count[PROMPTS];
    int64_t given, fail_at;
} question;

// All begin alike; two of three have an image.
void question_make(question *q);
// Vectors of the image of prompt I.
status question_images(void *context, int64_t i, int64_t rows, float *out);

generator_options small_options(int64_t slots);
// Answers the prompts with an open model; and with one of its own. COUNTS may be NULL.
status small_run(question *q, small *s, const generator_options *o, generator_counts *counts);
void small_answer(question *q, const generator_options *o, generator_counts *counts);
