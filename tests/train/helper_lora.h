// What tests of `radialog export` export: small folders of random numbers, a base and a run of
// LoRA.
#pragma once
#include "core/tensor.h"

// All sizes differ, so that nothing fits by chance.
enum { WIDTH = 64, HEADS = 8, KEYS = 2, HEAD = 16, INNER = 192, LAYERS = 2, WORDS = 33, RANK = 3 };
enum { IMAGE = 10, QUERY_ROWS = HEADS * HEAD, KEY_ROWS = KEYS * HEAD };
#define LORA_ALPHA 7.5

// Number I of the tensor NAME: a multiple of 2^-10 between -1 and 1, exact in f16 (11 bits).
float lora_value(const char *name, int64_t i);
// Number I of the adapted weight NAME, of K columns, with the run's SCALE * B A added.
double lora_merged_value(const char *name, int64_t i, int64_t K, double scale);

typedef struct shape {
    char name[96];
    int64_t rows, columns; // columns 0: a vector
} shape;

// The linear layers of a base, which of them the run adapts.
typedef struct lora_layer {
    const char *name;
    int64_t rows, columns;
    bool adapted;
} lora_layer;
enum { LINEAR = 7 };
extern const lora_layer lora_layers[LINEAR];

// A safetensors file of these tensors.
void write_tensors(const char *path, const shape *s, int count, dtype type);
void write_text(const char *path, const char *text);
// A Hugging Face folder with WORDS tokens, weights in TYPE.
void lora_base(const char *folder, dtype type, int words);
// The same with an inner width of its own.
void lora_base_of(const char *folder, dtype type, int words, int inner);
// A checkpoint of `train lora`; STABILISED "true" or "false".
void lora_run(const char *folder, const char *stabilised);
// Fails unless the file at PATH holds COUNT tensors in f32 with the numbers of lora_value.
void lora_expect_numbers(const char *path, int count);
