// The declared configuration keys, a table per subject; validation, --help, --set and config.resolved.json all come
// from them. Each stage has a list of those that it takes.
#pragma once
#include "core/config.h"

extern const config_key run_keys[], data_keys[], train_keys[], optim_keys[];
extern const config_key image_keys[], pixel_keys[]; // of stages with images: their sides; what is done to them
extern const config_key encoder_keys[];             // of BioViL-T
extern const config_key text_keys[], bert_keys[];   // of stages that read reports
extern const config_key language_keys[];            // of stages that read conversations
extern const config_key classifier_keys[], chexbert_keys[], aligner_keys[], lm_keys[], lora_keys[];

extern const config_key instruct_keys[]; // of radialog instruct
extern const config_key generate_keys[]; // of radialog generate
extern const config_key answer_keys[];   // of radialog answer
extern const config_key evaluate_keys[]; // of radialog evaluate
extern const config_key dialogue_keys[]; // of radialog chat and serve
extern const config_key serve_keys[];    // of radialog serve

extern const config_key *const classifier_tables[], *const chexbert_tables[], *const aligner_tables[];
extern const config_key *const lm_tables[], *const lora_tables[], *const generate_tables[], *const answer_tables[];
extern const config_key *const evaluate_tables[], *const chat_tables[], *const serve_tables[];

// What a checkpoint must say to be used without its run, as a configuration file: the keys of the section "data" in
// DATA_TABLES and of "model" in MODEL_TABLES, without paths.
void config_model_json(buffer *out, const config *c, const config_key *const *data_tables,
                       const config_key *const *model_tables);
