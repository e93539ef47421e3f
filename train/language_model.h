// The language model that a configuration describes, for its training and for generation.
#pragma once
#include "core/config.h"
#include "data/instruct.h"
#include "models/llama_weights.h"
#include "train/language_data.h"

// The image token, which is added behind the vocabulary.
extern const char language_image_token[]; // "<IMG>"

// The tokenizer at PATH, or where that is empty of the folder BASE, with the image token, whose id is
// *TOKEN. USAGE if both are empty.
status language_tokenizer(tokenizer **out, const char *path, const char *base, int32_t *token);
// Whether BASE is a folder that holds config.json and no tokenizer, and PATH names none: for plans, which count the
// rows that config.json says and one for the image token.
bool language_sizes_alone(const char *path, const char *base);
// Sizes of a model that is trained whole. USAGE if they do not fit each other.
status language_lm_config(llama_config *out, const config *c, int32_t vocabulary);
// Sizes of the folder model.base, with at least VOCABULARY rows and the adapters of section "lora". IMAGE_WIDTH
// 0: no image projection. The names of targets are borrowed from C.
status language_lora_config(llama_config *out, const config *c, int32_t vocabulary,
                            int64_t image_width);
// How a frozen base's linear layers can be kept, as model.storage has it: "plain", "fp8", "int8", "nf4".
enum { LANGUAGE_STORAGES = 4 };
extern const char *const language_storages[LANGUAGE_STORAGES];

// Freezes the base and sets it apart; its linear layers are kept as STORAGE (model.storage) says.
void language_freeze_base(params *p, const char *storage);
// Its values: those of the folder BASE, but for added tokens' rows, which no file holds; DRAWN: all are
// drawn with SEED, for measurements.
status language_begin_base(params *p, const char *base, bool drawn, uint64_t seed);
// All adapters go into the matrices beside them (nn/lora_merge.h).
status language_merge(llama *m, params *p);
