// A language model at work: the base that model.base names, the adapters of a run or a folder, the
// tokenizer. For commands that write (generate).
#pragma once
#include "train/inference.h"
#include "train/language_model.h"

typedef struct language_inference {
    inference inference;
    tokenizer *tokens;
    int32_t image_token;
    bool adapters, peft; // some were named; by adapter_config.json
    llama model;
    buffer targets; // texts of adapter_config.json
} language_inference;

// PATH: a run directory (its best checkpoint), a checkpoint, an adapter's folder or file, or a whole
// model's folder; NULL: the base alone. Takes the configuration that it carries, then --config and
// --set; opens device and tokenizer. To be closed also after a failure. USAGE, IO, FORMAT, MEMORY,
// DEVICE.
status language_inference_open(language_inference *l, const arguments *a, const char *path,
                               const config_key *const *tables);
void language_inference_close(language_inference *l);
// Declares and loads the model; nothing trains. IMAGE_WIDTH 0: it takes no images. MERGE: adapters go
// into the base's matrices (nn/lora_merge.h).
status language_inference_load(language_inference *l, int64_t image_width, bool merge);
