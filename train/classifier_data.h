// What the classifier's training, validation and the classify command share: the model from the
// configuration, batches to the device, scoring a split.
#pragma once
#include "core/config.h"
#include "data/labels.h"
#include "data/loader.h"
#include "eval/metrics.h"
#include "models/classifier.h"

// USAGE if the sizes do not fit each other.
status classifier_from_config(classifier_config *out, const config *c);
// The loader's options for a split; training draws its own order.
loader_options loader_from_config(const config *c, int split, bool training);

// Device tensors of a batch. BATCH NULL: made up, of COUNT images (dry runs). BLANK: black images.
typedef struct device_batch {
    tensor *image;  // (B, S, S, 1) in [0, 1]
    tensor *target; // u8 (B, 14): 1 where the label is positive
} device_batch;
device_batch batch_to_device(tape *t, const batch *b, int64_t count, int size, bool blank);

// Logits of every record of L's split, in its order, for one epoch: LOGITS (records, classes) and, if
// not NULL, TARGETS likewise and RECORD (records). PART 1 of the score per batch goes to BATCH_F1.
status classifier_score(tape *t, const classifier *m, loader *l, int size,
                        bool blank, float *logits, uint8_t *targets, int64_t *record,
                        metric_mean *batch_f1);
// A dry run of the largest batch that classifier_score will see.
void classifier_score_dry(tape *t, const classifier *m, int64_t batch_size, int size);
