// What the language model's training step reads: packed conversations, and the tables that say which
// rows belong together. Filled on the host, in fixed places of the device.
//
// Rows are  [prefix | tokens of sample 0 | tokens of sample 1 | ... | filler].
// The prefix is what all samples begin with (PERF 3: 11): it is computed once, and each sample's
// attention sees its keys. Tokens are those behind it. Without sharing the prefix is empty.
//
// Logits are computed where a supervised token is predicted, and nowhere else: behind the last
// layer's keys only rows from each sample's first supervised token on are left.
#pragma once
#include "models/packed.h"

typedef struct llama_batch {
    packed_block memory;
    tensor ids, positions;  // i32 (N)
    tensor rows;            // i32 (N, 2)
    tensor segments;        // i32 (S, SEGMENT_COLUMNS): the prefix's own first, where there is one
    tensor prefix;          // i32 (samples * prefix rows): the prefix's rows, once per sample
    tensor images;          // i32 (M): rows that image vectors go to; -1: none
    tensor last;            // i32 (L): rows whose queries the last layer computes
    tensor last_rows;       // i32 (L, 2)
    tensor last_segments;   // i32 (S, SEGMENT_COLUMNS)
    tensor supervised;      // i32 (U): of the L rows, those that predict a supervised token
    tensor target;          // i32 (U)
    tensor weight;          // wide (U)
    int64_t shared;         // prefix rows
    int64_t most;           // keys of any segment at most
    int64_t kind;           // batches of equal kind have equal shapes, where steps are recorded
    int64_t tokens, targets; // without filler
    bool steps;
    struct llama_room {
        int64_t samples, rows, images, targets, most;
    } room;
} llama_batch;

typedef struct llama_room llama_room;

// Room for SAMPLES conversations of ROWS tokens in all, of which none is longer than MOST, with IMAGES
// rows of image vectors and TARGETS supervised tokens.
status llama_batch_open(llama_batch *b, device *d, const llama_room *room);
void llama_batch_close(llama_batch *b);
size_t llama_batch_bytes(const device *d, const llama_room *room);

// A conversation. Token i is supervised where a span {first, end} holds it, i > 0; its prediction is
// weighted by WEIGHT. IMAGE_TOKEN ids get the next image vector each.
typedef struct llama_sample {
    const int32_t *ids;
    int32_t count;
    const int32_t *span; // (spans, 2), ascending
    int spans;
    int64_t sample;      // its global number in the step, which draws are keyed by
    double weight;
} llama_sample;

// Tokens that all samples begin with, less than any of them supervises or places an image at: what
// may be shared. 0 for fewer than two samples.
int32_t llama_shared_prefix(const llama_sample *s, int64_t count, int32_t image_token);
// Rows that the samples take with SHARED prefix rows.
int64_t llama_rows(const llama_sample *s, int64_t count, int32_t shared);
// Takes COUNT samples to the device; they fit the room.
void llama_batch_load(llama_batch *b, const llama_sample *s, int64_t count, int32_t shared,
                      int32_t image_token);
