// Scores of the aligner on a split: its losses, and how well images and texts find each other.
#pragma once
#include "eval/retrieval.h"
#include "train/aligner_data.h"

typedef struct aligner_scores {
    int64_t count;
    double loss, contrast, match, caption; // means over batches, as the original's validation
    retrieval_scores retrieval;
    binary_scores decision; // of the match head on fitting and drawn pairs
} aligner_scores;

// Where a split's images come from: FILE's features, or pixels of L where that is NULL.
typedef struct aligner_images {
    embeddings *file;
    loader *loader;
    const dataset *data;
    bool blank;
} aligner_images;

// Takes the batch of STEP of a split to the device: images, texts, tables.
status aligner_step_load(aligner_inputs *in, device *d, const aligner_images *images,
                         text_split *texts, int64_t step, const config *c, int32_t begin);
// Goes through the whole split in stored order. All ranks get all.
status aligner_score(aligner_scores *out, tape *t, const aligner *m, aligner_inputs *in,
                     const aligner_images *images, text_split *texts, const config *c,
                     int32_t begin);
// A dry run of the largest batch that aligner_score will see.
void aligner_score_dry(tape *t, const aligner *m, aligner_inputs *in, bool from_pixels);
void aligner_scores_json(buffer *out, const aligner_scores *s);
status aligner_scores_table(buffer *out, const aligner_scores *s);
