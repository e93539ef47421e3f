// What the classifier's training, validation and the classify command share: the model from the
// configuration, batches to the device, scoring a split.
#pragma once
#include "core/config.h"
#include "data/labels.h"
#include "data/loader.h"
#include "eval/metrics.h"
#include "models/classifier.h"

// The encoder's sizes from the sections "model" and "data", joint_width still 0. USAGE if they do not fit each other.
status encoder_from_config(biovil_t_config *out, const config *c);
status classifier_from_config(classifier_config *out, const config *c);
// The loader's options for a split; training draws its own order. RANKS NULL: alone.
loader_options loader_from_config(const config *c, int split, bool training, const comm *ranks);

// What a step reads, on the device and in the same place in every step: the host fills it before the step,
// so that the step itself (which a graph may replay) touches no host memory.
typedef struct classifier_inputs {
    void *block;          // all of it, on the device
    tensor bytes;         // u8 (B, S, S)
    tensor lut;           // f32 (B, 256): the value of each byte
    tensor target;        // u8 (B, 14): 1 where the label is positive
    tensor weight, mask;  // f32 (14): of positives; 1 for classes in the loss
    uint8_t *positive;    // (B, 14) on the host
} classifier_inputs;

// Room for ROWS images of SIZE pixels a side. The dims say ROWS until a batch is loaded.
status classifier_inputs_open(classifier_inputs *in, device *d, int64_t rows, int size);
void classifier_inputs_close(classifier_inputs *in, device *d);
// Bytes of BLOCK.
size_t classifier_inputs_bytes(int64_t rows, int size);
// BLANK: black images.
void classifier_inputs_load(classifier_inputs *in, device *d, const batch *b, bool blank);
void classifier_inputs_weigh(classifier_inputs *in, device *d, const float *weight, const float *mask);

// The step's loss (REFERENCE 3.4): the mean over COUNT counted elements of the global batch.
tensor *classifier_loss(tape *t, const classifier *m, classifier_inputs *in, double count);

// (B, S, S, 1) in [0, 1].
tensor *classifier_images(tape *t, classifier_inputs *in);

// Logits (records, 14) of every record of L's split, in its order: one pass, batch by batch through IN, each
// rank its slices; every rank gets all of them.
status classifier_score(tape *t, const classifier *m, loader *l, classifier_inputs *in, bool blank,
                        float *logits);
// A dry run of the largest batch that classifier_score will see.
void classifier_score_dry(tape *t, const classifier *m, classifier_inputs *in);
// Whether each record's label is positive: (records, 14).
void classifier_targets(uint8_t *targets, const loader *l, const dataset *set);
// The mean over batches of SIZE records of each batch's macro F1 (REFERENCE 3.6).
double classifier_batch_f1(const float *logits, const uint8_t *targets, int64_t records, int64_t size);
