// Scores of an aligner: how well images find their texts and texts their images, and how well
// matched pairs are told from others. Pure functions on host arrays; they know no model and no
// device. Called by the aligner's validation (train/aligner_score.c).
//
// An image and a text belong together, are a HIT, where their group numbers are equal. The rank of
// an image is 1 + the texts of other groups that score at least as high as its best hit: an equal
// score of a wrong one comes first. NaN is never a hit, and a wrong one that scores NaN comes
// first.
//
// Similarities come in tiles, so that the whole (images, texts) need not exist at once. Which hit
// is the best must be known before the others are compared with it, so each tile is shown twice:
//
//     retrieval r;
//     status rc = retrieval_open(&r, image_group, images, text_group, texts);
//     for each tile: retrieval_hits(&r, tile);     // tiles without hits may be left out
//     for each tile: retrieval_compare(&r, tile);  // all
//     if (!rc) rc = retrieval_measure(&scores, &r);
//     retrieval_close(&r);
#pragma once
#include "core/memory.h"

enum { RETRIEVAL_DEPTHS = 3 };
extern const int retrieval_depths[RETRIEVAL_DEPTHS]; // 1, 5, 10

// One direction: images that look for texts, or texts that look for images.
typedef struct retrieval_score {
    int64_t queries, candidates;
    int64_t lost;                    // queries whose hits all score NaN
    double recall[RETRIEVAL_DEPTHS]; // queries of rank <= the depth, a lost one never
    double chance[RETRIEVAL_DEPTHS]; // the recall expected of a random order
    double median_rank;              // mean of the middle two; a lost query has rank candidates + 1
} retrieval_score;

typedef struct retrieval_scores {
    retrieval_score image_to_text, text_to_image;
} retrieval_scores;

typedef struct retrieval_side {
    int64_t count;
    const int64_t *group; // (count), borrowed
    int64_t *hits;        // (count): of the other side
    float *best;          // (count): score of the best hit; NaN: none yet
    int64_t *ahead;       // (count): wrong ones that come before it
} retrieval_side;

typedef struct retrieval {
    retrieval_side image, text;
    int64_t hits, hits_seen; // pairs
    int64_t compared;        // pairs
} retrieval;

// SCORE[i * STRIDE + j] of the image FIRST_IMAGE + i and the text FIRST_TEXT + j.
typedef struct retrieval_tile {
    int64_t first_image, images, first_text, texts;
    const float *score; // (images, stride)
    int64_t stride;
} retrieval_tile;

// IMAGE_GROUP (IMAGES), TEXT_GROUP (TEXTS): borrowed until retrieval_close. FORMAT if there are no
// images or no texts, or one of them has no partner; MEMORY. On failure R is closed.
status retrieval_open(retrieval *r, const int64_t *image_group, int64_t images,
                      const int64_t *text_group, int64_t texts);
void retrieval_hits(retrieval *r, retrieval_tile tile);
// Dies unless retrieval_hits has seen every hit.
void retrieval_compare(retrieval *r, retrieval_tile tile);
// Dies unless every pair was compared. MEMORY.
status retrieval_measure(retrieval_scores *out, const retrieval *r);
void retrieval_close(retrieval *r);

// All at once: SCORE (IMAGES, TEXTS). Errors of retrieval_open.
status retrieval_of_matrix(retrieval_scores *out, const float *score, const int64_t *image_group,
                           int64_t images, const int64_t *text_group, int64_t texts);

// A decision between two classes, counted over any number of batches. Start with zeros.
typedef struct binary_counts {
    int64_t rows[2], right[2]; // by true class
} binary_counts;

typedef struct binary_scores {
    double recall[2]; // of each class; NaN without rows
    double accuracy;
    double balanced_accuracy; // mean of the two recalls; NaN if one is
} binary_scores;

// LOGITS (COUNT, 2), TARGETS (COUNT). A row is right where its class's logit is the greater one:
// equal logits and NaN decide nothing and are wrong. FORMAT if a target is neither 0 nor 1.
status binary_add(binary_counts *c, const float *logits, const uint8_t *targets, int64_t count);
binary_scores binary_measure(const binary_counts *c);
