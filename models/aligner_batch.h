// What the aligner's training step reads beside the images: the texts of the batch and every table
// that says which rows belong together in its two passes (models/aligner.h). Filled on the host, in
// fixed places of the device.
//
// B samples are in the global batch, of which this rank's b are those from FIRST on. Texts are
// packed. Pass 1 is image and text; pass 2 is match (image and text, a wrong image and the text,
// the image and a wrong text) and caption. Its text rows are
//     [texts | texts again | captions | wrong texts]
// The wrong ones are chosen on the device; everything about them is filled in there (append_texts).
#pragma once
#include "models/qformer.h"

typedef struct aligner_batch {
    packed_block memory;
    int64_t queries, image_tokens; // of an image
    int64_t own, all, first;       // b, B, FIRST
    int64_t rows;                  // of this rank's texts together, with filler
    int64_t most;                  // tokens of the longest text of the global batch, or some more
    int64_t kind; // batches of equal kind have equal shapes, where steps are recorded
    qformer_pass contrast, match; // passes 1 and 2
    tensor image_target;   // i32 (b): which text each image belongs to, and the other way round
    tensor match_target;   // i32 (3 b)
    tensor caption_target; // i32 (rows)
    tensor caption_count;  // wide (1)
    tensor text_ids, text_first; // of the global batch: i32 (all tokens), (B + 1)
    tensor group; // i32 (B): samples that are no negatives of each other; see GROUPED
    tensor wrong_image, wrong_text; // i32 (b): negatives that are given instead of drawn; see GIVEN
    bool grouped, given;
    bool alone, steps; // a single rank; sizes go in steps, because the device records
    dtype wide;
    int64_t rows_room, most_room; // the largest ROWS and MOST
} aligner_batch;

typedef struct aligner_batch_limits {
    int64_t own, all, most; // the largest b and B; tokens of the longest text
    bool alone;             // a single rank: wrong images are among its own
} aligner_batch_limits;

// QUERIES and IMAGE_TOKENS of an image.
status aligner_batch_open(aligner_batch *x, device *d, int64_t queries, int64_t image_tokens,
                          const aligner_batch_limits *most);
void aligner_batch_close(aligner_batch *x);
size_t aligner_batch_bytes(const device *d, int64_t queries, const aligner_batch_limits *most);

// A batch in host memory: ids of B texts, text i from TEXT_FIRST[i] up to TEXT_FIRST[i + 1].
typedef struct aligner_texts {
    const int32_t *ids, *text_first;         // (text_first[B]), (B + 1)
    const int32_t *group;                    // (B); NULL: all are negatives of each other
    const int32_t *wrong_image, *wrong_text; // (b): numbers below B; NULL: drawn
    int64_t own, all, first;
    int32_t begin; // [DEC], which captions begin with
} aligner_texts;
void aligner_batch_load(aligner_batch *x, const aligner_texts *texts);

// For the step itself (models/aligner.c), which completes pass 2 with what was drawn. Where the
// wrong texts' rows begin, their first sequence and its sample; the first sequence with a wrong
// image.
int64_t aligner_batch_known_rows(const aligner_batch *x);
int64_t aligner_batch_wrong_text(const aligner_batch *x);
int64_t aligner_batch_wrong_text_sample(const aligner_batch *x);
int64_t aligner_batch_wrong_image(const aligner_batch *x);
// ROWS of wrong texts there are, filler included.
void aligner_batch_set_wrong_rows(aligner_batch *x, int64_t rows);
