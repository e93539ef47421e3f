// What the report labeler's training, its validation and the label command share: answers between
// its heads and data/labels.h, what a step reads, labels of texts.
#pragma once
#include "data/labels.h"
#include "data/texts.h"
#include "models/chexbert.h"

// What a head must answer for a label, and what an answer says.
int32_t chexbert_answer(int head, const int8_t labels[CLASS_COUNT]);
// LABELS as a labeler can say them: "No Finding" is positive or blank.
void chexbert_truth(int8_t truth[CLASS_COUNT], const int8_t labels[CLASS_COUNT]);
// The observation of a head, as a number of data/labels.h.
int chexbert_class(int head);

// What a step reads: texts and right answers, in fixed places of the device.
typedef struct chexbert_inputs {
    packed_texts texts;
    packed_block answers;
    tensor target[CHEXBERT_HEADS]; // i32 (B)
} chexbert_inputs;

// Room for B texts of MOST tokens.
status chexbert_inputs_open(chexbert_inputs *in, device *d, int64_t B, int64_t most);
void chexbert_inputs_close(chexbert_inputs *in);
size_t chexbert_inputs_bytes(int64_t B, int64_t most);
// Texts as in packed_texts_load; LABELS[i] (CLASS_COUNT) of text i, NULL: none are known.
void chexbert_inputs_load(chexbert_inputs *in, const int32_t *ids, const int32_t *first,
                          int64_t count, int64_t sample, const int8_t *const *labels);
tensor *chexbert_step_loss(tape *t, const chexbert *m, chexbert_inputs *in, double count);

// LABELS (COUNT, CLASS_COUNT) of the texts of RECORD (COUNT), at most BATCH at a time, as many as
// IN has room for; VECTORS (COUNT, D), where not NULL: of their [CLS]. Each rank takes its slices,
// every rank gets all.
status chexbert_label(tape *t, const chexbert *m, chexbert_inputs *in, const text_set *texts,
                      const int64_t *record, int64_t count, int64_t batch, int8_t *labels,
                      float *vectors);
// A dry run of the largest batch that chexbert_label will see.
void chexbert_label_dry(tape *t, const chexbert *m, chexbert_inputs *in);
