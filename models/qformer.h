// The Q-Former (Li et al. 2023, "BLIP-2"): a BERT with learned query tokens that look at an image
// in every second layer, and with a feed-forward part of their own for them. Text and queries share
// the self-attention. One set of weights serves four calls: image alone, text alone, both together
// (does the text fit?), and text that is written word by word after the image.
//
// Follows LAVIS' Blip2Qformer (lavis/models/blip2_models, REFERENCE 4) without its padding: query
// rows (images * Q, D) and packed text rows (N, D) go through the layers side by side, so that
// calls run together where they can: image and text, then match and caption. An image's keys and
// values for cross-attention are computed once for all calls; the image call's own keys and values
// are what captions see in front. Parameter names are those of the public checkpoint.
#pragma once
#include "models/bert.h"

typedef struct qformer_config {
    bert_config bert; // vocabulary with [DEC], no token types
    int queries;      // Q: 32
    int image_width;  // of a cell: 1408
    int cross_every;  // 2: layers 0, 2, 4, ... look at the image
    int projection;   // E, of both modalities' features: 256
    double smoothing; // of labels in contrast and captions: 0.1
} qformer_config;

typedef struct qformer_layer {
    bert_attention self, cross;
    bool looks; // has cross-attention
    bert_feed text, query;
} qformer_layer;

typedef struct qformer {
    qformer_config config;
    tensor *query_tokens; // (Q, D)
    tensor *temp;         // (1) wide: divides similarities
    layer_norm_layer ln_vision;
    bert_embeddings embeddings;
    qformer_layer layer[BERT_MAX_LAYERS];
    linear_layer transform; // of the caption's head, whose decoder is the word table
    layer_norm_layer transform_norm;
    tensor *decoder_bias;
    linear_layer vision_proj, text_proj, itm_head;
} qformer;

void qformer_make(qformer *m, params *p, const qformer_config *c);
// The queries' feed-forward parts begin as the texts'. After params_init or loading BERT.
status qformer_copy_query_parts(params *p);

// Keys and values of images for every layer that looks at them: (images * tokens, H, D / H); else
// NULL.
typedef struct qformer_sight {
    tensor *k[BERT_MAX_LAYERS], *v[BERT_MAX_LAYERS];
} qformer_sight;
// IMAGES (images, tokens, image_width), already through ln_vision.
void qformer_look(tape *t, const qformer *m, tensor *images, qformer_sight *out);

// --- one pass through the layers ----------------------------------------------------------------
// Tables are i32 on the device; see models/packed.h.
typedef struct qformer_pass {
    tensor query_index;               // (NQ): which query token each row is
    tensor query_rows;                // (NQ, 2)
    tensor ids, positions, text_rows; // (N), (N), (N, 2)
    tensor segments; // (S, SEGMENT_COLUMNS): piece 0 query rows, piece 1 text rows, piece 2 rows of
                     // SEEN
    tensor look; // (queries' sequences, SEGMENT_COLUMNS): query rows on rows of SIGHT (piece 0) or
                 // OTHERS (1)
    // Text rows that are wanted behind the last layer, which computes no other: (M), (M, 2), and
    // the segments that say so.
    tensor last, last_rows, last_segments;
    int64_t most_queries, most_keys; // of a sequence
    int64_t image_tokens;
    bool text; // false: queries alone, by the first segments, one for each row of LOOK, on an image of its own
} qformer_pass;

typedef struct qformer_states {
    tensor *queries;                                 // (NQ, D) after the last layer
    tensor *texts;                                   // (M, D); NULL without text
    tensor *k[BERT_MAX_LAYERS], *v[BERT_MAX_LAYERS]; // of the query rows, if asked for
} qformer_states;

// OTHERS: of images that stand elsewhere, NULL: none. SEEN: the states of an earlier pass whose
// queries some texts see, NULL: none. KEEP: the query rows' keys and values are wanted.
void qformer_run(tape *t, const qformer *m, qformer_pass *p, const qformer_sight *sight,
                 const qformer_sight *others, const qformer_states *seen, bool keep,
                 qformer_states *out);

// --- heads --------------------------------------------------------------------------------------
// (images * Q, D) -> (images, Q, E) of length 1.
tensor *qformer_image_features(tape *t, const qformer *m, tensor *queries);
// [CLS] (B, D) -> (B, E) of length 1.
tensor *qformer_text_features(tape *t, const qformer *m, tensor *first);
// (pairs * Q, D) -> (pairs, 2): the mean over queries of what each says; 1: they fit.
tensor *qformer_match_logits(tape *t, const qformer *m, tensor *queries);
// (M, D), TARGET i32 (M): the next token, -1 where there is none -> the mean over COUNT.
tensor *qformer_caption_loss(tape *t, const qformer *m, tensor *texts, tensor *target,
                             double count);
