// RoBERTa (Liu et al. 2019, "RoBERTa: a robustly optimized BERT pretraining approach") out of
// folders in Hugging Face's layout: BERT's encoder (models/bert.h) with byte-level BPE, positions
// that begin behind the padding's id, and one type of token. Read, never trained: BERTScore looks
// at its vectors (eval/bert_score.h).
#pragma once
#include "models/bert.h"

typedef struct roberta_config {
    bert_config bert;       // vocabulary 50265, 512 positions that texts can have
    int32_t first_position; // of a text's first token: 2
    int layers;             // that the folder has; bert.layers are those that are wanted
} roberta_config;

// FOLDER's config.json. LAYERS: how many of them are wanted, from below; 0: all. IO; FORMAT
// (another kind of model, sizes that make none); USAGE (fewer layers than wanted).
status roberta_config_read(roberta_config *out, const char *folder, int layers);
// Declares it in P as "roberta....". The table of positions is that of the files, all of it.
void roberta_make(bert *m, params *p, const roberta_config *c);
// FOLDER's weights into P: of a RobertaModel, or of a model with a head, which is passed by like
// the layers that are not wanted. IO, FORMAT, MEMORY.
status roberta_load(params *p, const char *folder);
