// The findings classifier: 14 CheXpert classes from the projected patch embeddings of BioViL-T.
//
// Follows RaDialog's findings_classifier/chexpert_model.py: 4x4 average pooling of the (B, 16, 16, 128)
// grid, flattening in channel-major order, two linear layers. Names are those of the public checkpoint
// without its leading "model.".
#pragma once
#include "models/biovil_t.h"

typedef struct classifier_config {
    biovil_t_config encoder;
    int pool;    // 4
    int hidden;  // 512
    int classes; // 14
} classifier_config;

typedef struct classifier {
    classifier_config config;
    biovil_t encoder;
    linear_layer fc1, fc2;
} classifier;

void classifier_make(classifier *m, params *p, const classifier_config *c);
status classifier_fill(const classifier *m, params *p);

// The encoder's inner part: what "frozen encoder" freezes. The projector and the head always train.
extern const char *const classifier_encoder_prefix;

// IMAGE (B, S, S, 1) grey in [0, 1] -> logits (B, classes).
tensor *classifier_logits(tape *t, const classifier *m, tensor *image);
// The part behind the encoder: PROJECTED (B, grid, grid, P) -> logits (B, classes).
tensor *classifier_head(tape *t, const classifier *m, tensor *projected);
