// The declared configuration keys, one table per section; validation, --help, --set and
// config.resolved.json all come from them.
#pragma once
#include "core/config.h"

extern const config_key run_keys[], data_keys[], train_keys[], optim_keys[], classifier_keys[];

// What a checkpoint must say to be used without its run: the keys of TABLE's section "model" (no paths)
// and the image's crop and size, as a configuration file.
void config_model_json(buffer *out, const config *c, const config_key *table);
