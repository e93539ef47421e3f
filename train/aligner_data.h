// What the aligner's training, its validation and the embed command share: the model from the
// configuration, what a step reads, and the frozen encoder's features, which are computed once and
// kept in a file.
#pragma once
#include "core/config.h"
#include "data/embeddings.h"
#include "data/loader.h"
#include "models/aligner.h"
#include "train/classifier_data.h"
#include "train/text_data.h"

// WORDS NULL: the vocabulary's size stays 0. USAGE if the sizes do not fit each other.
status aligner_from_config(aligner_config *out, const config *c, const wordpiece *words);
// The options of a split's loader: the records with the section that is read.
loader_options aligner_loader_options(const config *c, int split, bool training, const comm *ranks);

// What a step reads. Pixels only where the encoder runs in every step, or for the features' file.
typedef struct aligner_inputs {
    classifier_inputs pixels;
    tensor features; // (B, grid, grid, D)
    void *staging;   // the same in host memory
    aligner_batch batch;
} aligner_inputs;

typedef struct aligner_room {
    int64_t own, all; // samples of this rank and of the global batch, at most
    int64_t most;     // tokens of a text
    int size;         // pixels a side
    bool alone;       // a single rank
} aligner_room;

status aligner_inputs_open(aligner_inputs *in, device *d, const aligner *m,
                           const aligner_room *room);
void aligner_inputs_close(aligner_inputs *in, device *d);
size_t aligner_inputs_bytes(const device *d, const aligner *m, const aligner_room *room);
// The features of COUNT records, as FILE has them.
status aligner_inputs_features(aligner_inputs *in, device *d, const embeddings *file,
                               const dataset *set, const int64_t *record, int64_t count);

// The features of IN's batch: those that were loaded, or FROM_PIXELS.
tensor *aligner_input(tape *t, const aligner *m, aligner_inputs *in, bool from_pixels);

// --- features of a split ------------------------------------------------------------------------
// What identifies them beside the weights: the images and how they are read.
typedef struct feature_source {
    const dataset *data;
    int split, crop, size;
    bool blank;
} feature_source;

// Opens the file of SOURCE's features in FOLDER, made by the encoder that P holds; computes it
// first if it is not there, or goes on with one that was begun. L reads the split in stored order.
// All ranks call it: they share the work, and rank 0 writes. The tape must have room for
// aligner_features of a batch of L.
status features_open(embeddings **out, const char *folder, tape *t, const aligner *m,
                     const params *p, loader *l, aligner_inputs *in, const feature_source *source);
// A dry run of what features_open does with a global batch of ALL samples.
void features_dry(tape *t, const aligner *m, aligner_inputs *in, int64_t all);
