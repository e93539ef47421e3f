// The twin of scripts/golden/bert.py's small aligner: what the golden tests of the Q-Former and those of the CUDA kernels
// in it share. For tests only: what is missing stops the program.
#pragma once
#include "models/aligner.h"
#include "tests/models/helper_bert.h"

// As in the scripts.
enum { LEARNER_VOCABULARY = 64, LEARNER_LAYERS = 4 };
extern const aligner_config learner_config;

typedef enum part { CONTRAST, MATCH, CAPTION, SUM, PARTS } part;
extern const char *const part_names[PARTS];

// How a batch is laid out; the numbers must not depend on it.
typedef enum layout {
    ALONE,   // as on a single rank
    RANKS,   // wrong images are fetched from the global batch, as on several ranks
    STEPPED, // filler rows, as where steps are recorded
    LAYOUTS
} layout;
extern const char *const layout_names[LAYOUTS];

typedef struct learner {
    reference_model base;
    aligner model;
    aligner_batch batch;
    int step, count;
    const safetensors *inputs; // that hold the image, instead of draws
    part part; // the loss that run_part goes back from
    aligner_losses losses;
    // Of calls_body.
    tensor *tokens, *image_features, *text_features, *image_to_text, *text_to_image;
    qformer_states states;
} learner;

// On D, which belongs to L from now on; parameters are left as they are.
void learner_make(learner *l, device *d, const aligner_config *c, const aligner_batch_limits *most);
// With learner_config and drawn parameters.
void learner_open_on(learner *l, device *d, layout how);
void learner_open(learner *l, bool oracle, layout how);
void learner_close(learner *l);
// Takes the texts of STEP to the device; images are drawn as they are asked for.
void learner_load(learner *l, int step);
// What the encoder's trunk would say: (B, grid, grid, D), drawn or read.
tensor *learner_features(learner *l);
// For reference_run, with a learner as context: all losses; returns that of l->part.
tensor *learner_loss(reference_model *m, void *learner);
