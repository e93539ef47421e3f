// The twin of scripts/golden/bert.py's small CheXbert: what its golden test and that of the CUDA kernels in it share. For
// tests only: what is missing stops the program.
#pragma once
#include "models/chexbert.h"
#include "tests/models/helper_bert.h"

extern const bert_config labeler_config;

typedef struct labeler {
    reference_model base;
    chexbert model;
    packed_texts texts;
    packed_block targets;
    tensor target[CHEXBERT_HEADS], *each[CHEXBERT_HEADS]; // i32 (B)
    tensor *logits[CHEXBERT_HEADS];
    int count;
} labeler;

// Room for B texts, none longer than MOST; parameters drawn. The latter is on D, which belongs to L from now on.
void labeler_open(labeler *l, bool oracle, const bert_config *c, int64_t B, int64_t most);
void labeler_open_on(labeler *l, device *d, const bert_config *c, int64_t B, int64_t most);
void labeler_close(labeler *l);
// Takes the texts of STEP and their targets to the device; WITH_FILLER: rows are rounded up.
void labeler_load(labeler *l, int step, bool with_filler);
// For reference_run, with a labeler as context: the loss; l->logits, of which the first is returned.
tensor *labeler_loss(reference_model *m, void *labeler);
tensor *labeler_logits(reference_model *m, void *labeler);
