// What stages that read reports share: vocabulary and sizes from the configuration, the tokenised
// texts of a split and their batches.
#pragma once
#include "core/comm.h"
#include "core/config.h"
#include "data/loader.h"
#include "data/texts.h"
#include "models/bert.h"

// The tokens of the vocabulary that model.vocabulary names, with [DEC] behind them if that is asked
// for. TEXT: the file's bytes, for checkpoints. USAGE if none is named.
status vocabulary_open(wordpiece **out, buffer *text, const char *path, bool dec);
// BERT's sizes from the section "model". VOCABULARY NULL: its size stays 0. USAGE if they do not
// fit each other.
status bert_from_config(bert_config *out, const config *c, const wordpiece *vocabulary);

// A split's records that have the section, their texts, and which of them stand in which batch.
typedef struct text_split {
    int64_t *record; // (count)
    int64_t count;
    text_set *texts;
    batch_order *order;
    // The latest batch. Texts of the GLOBAL batch: text i of FIRST[i] up to FIRST[i + 1].
    order_step step;
    int64_t *batch; // (batch_room): records
    int32_t *ids;   // (batch_room * longest)
    int32_t *first; // (batch_room + 1)
    int32_t *group; // (batch_room): for whoever tells samples apart
} text_split;

// RULE as the model wants texts. TRAINING: shuffled, data.limit, train.drop_last. RANKS NULL:
// alone. IMAGES: the records are those of this loader; NULL: all that have the section.
status text_split_open(text_split *s, const dataset *set, const loader *images, const config *c,
                       int split, bool training, const comm *ranks, const wordpiece *w,
                       text_rule rule);
void text_split_close(text_split *s);
// Says in the log how many texts there are, how long they are, and how many were cut.
void text_split_tell(const text_split *s, const char *name);
// Takes the batch of STEP.
void text_split_batch(text_split *s, int64_t step);
