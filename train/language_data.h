// What the training of a language model reads: conversations of an instruct folder in batches that are
// packed into pieces, and the image tokens they are about.
//
// A step's global batch is cut into the ranks' slices, and each slice into pieces of at most
// train.pack_tokens rows, of which one is on the device at a time. What a step means depends neither
// on pieces nor on ranks: every supervised token carries its weight in the loss (DESIGN, ranks).
#pragma once
#include "core/comm.h"
#include "core/config.h"
#include "data/embeddings.h"
#include "data/instruct.h"
#include "data/order.h"
#include "models/llama.h"

// How a step's loss weighs its tokens: all alike, or the mean of micro-batches' means, as
// transformers' Trainer has it (REFERENCE 5.8).
typedef enum language_weighting { WEIGHT_TOKEN, WEIGHT_REFERENCE } language_weighting;

typedef struct language_piece {
    int64_t first, count; // samples
    int32_t shared;       // rows of the prefix that they share
} language_piece;

// One split: its records, their order, and the latest batch.
typedef struct language_split {
    instruct_set *data; // borrowed
    int split;
    int64_t *record; // (count): numbers in the split
    int64_t count;
    batch_order *order;
    order_step step;
    int64_t *batch; // (order_most): records of the global batch

    llama_sample *sample;   // (order_most): this rank's; their ids and spans lie in the buffers
    int64_t *first_image;   // (order_most + 1): each sample's first of IMAGES
    language_piece *piece;  // (order_most)
    int64_t pieces;
    buffer ids, spans;      // i32, of all samples
    buffer images, names;   // size_t: where each image's dicom_id begins in NAMES
    int64_t tokens, targets; // of the global batch
} language_split;

typedef struct language_options {
    int64_t batch, micro_batch, pack_tokens;
    int64_t positions; // of the model: no conversation is longer
    language_weighting weighting;
    bool everything; // all tokens behind the first are supervised, prompts too
    bool share;      // common prefixes once per piece
    int32_t image_token;
    int rank, ranks;
    uint64_t seed;
    bool shuffle, drop_last;
    int64_t limit; // records; 0: all
} language_options;

// Errors: FORMAT (no record; one that is longer than a piece or the model's positions), MEMORY.
status language_split_open(language_split *s, instruct_set *data, int split,
                           const language_options *o);
void language_split_close(language_split *s);
// Tokens of the longest conversation that is trained on or scored.
int64_t language_longest(const instruct_set *data);
// Reads the batch of STEP and cuts it into pieces: at least one, which may be empty.
status language_split_batch(language_split *s, const language_options *o, int64_t step);

// What the device holds of a piece.
typedef struct language_inputs {
    llama_batch batch;
    tensor images;   // (M, image_width), of the device's type; NULL data: none
    void *staging;   // the same in host memory
    float *row;      // (queries, width): of one image
    int64_t queries;
} language_inputs;

// IMAGE_WIDTH 0: no images. QUERIES: rows of an image.
status language_inputs_open(language_inputs *in, device *d, const llama_room *room,
                            int64_t image_width, int64_t queries);
void language_inputs_close(language_inputs *in, device *d);
size_t language_inputs_bytes(const device *d, const llama_room *room, int64_t image_width);
// Takes piece I of the latest batch to the device, with its images from FILE (NULL: there are none).
// BLANK: zeros instead. IO; FORMAT: an image that the file lacks is named.
status language_inputs_load(language_inputs *in, device *d, const language_split *s, int64_t i,
                            const embeddings *file, bool blank, int32_t image_token);
// The images of IN's piece for llama_loss: NULL where the model takes none.
tensor *language_images(language_inputs *in);

// --- image tokens -------------------------------------------------------------------------------
// The file of data.embeddings that the conversations F need; *OUT NULL where they have no images. USAGE
// if PATH is empty, FORMAT if it holds other tokens.
status language_images_open(embeddings **out, const char *path, const instruct_facts *f);
// What changes when the conversations or their images' embeddings do, E NULL without any; a run's data_hash. RaDialog's
// pickles say nothing of themselves. Returns OUT.
enum { LANGUAGE_HASH_SIZE = 4 * EMBEDDINGS_TEXT_SIZE };
const char *language_data_hash(char out[LANGUAGE_HASH_SIZE], const instruct_set *data, const embeddings *e);
// The tokens (queries, width) of the image ID. FORMAT if the file lacks it.
status language_image_read(float *out, const embeddings *file, const char *id);
