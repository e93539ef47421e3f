// CheXbert (Smit et al. 2020): BERT with 14 linear heads on the [CLS] token, one per observation.
// Each head chooses among blank, positive, negative and uncertain; that for "No Finding" among
// blank and positive alone.
//
// Names are those of the public chexbert.pth without its leading "module.". Heads stand in the
// order of that file, which is not that of data/labels.h.
#pragma once
#include "models/bert.h"

enum { CHEXBERT_HEADS = 14, CHEXBERT_NO_FINDING = 13 };
// What a head says, by the number of its logit.
enum { CHEXBERT_BLANK, CHEXBERT_POSITIVE, CHEXBERT_NEGATIVE, CHEXBERT_UNCERTAIN, CHEXBERT_ANSWERS };

// The observation of each head, as in data/labels.h.
extern const char *const chexbert_heads[CHEXBERT_HEADS];
// How many answers head H has.
int chexbert_answers(int h);

typedef struct chexbert {
    bert bert;
    linear_layer head[CHEXBERT_HEADS];
} chexbert;

void chexbert_make(chexbert *m, params *p, const bert_config *c);

// LOGITS[h] (B, chexbert_answers(h)). Returns the vectors (B, D) of [CLS] that the heads read.
tensor *chexbert_logits(tape *t, const chexbert *m, packed_texts *texts,
                        tensor *logits[CHEXBERT_HEADS]);
// The sum over heads of the cross-entropy's mean over the global batch of COUNT texts, as the
// original trains. TARGET i32 (14, B): the answers, head by head; -1 does not count. Wide, rank 0.
tensor *chexbert_loss(tape *t, const chexbert *m, packed_texts *texts,
                      tensor *const target[CHEXBERT_HEADS], double count);
