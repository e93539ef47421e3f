// Packed batches: which rows of a (rows, D) tensor belong together, as whole numbers on the device.
// For models over text of different lengths (bert.h, qformer.h) and whoever fills their batches.
//
// A row map, i32 (N, 2), says for each row {sample, position}: what its dropout is keyed by,
// wherever the row stands (core/rng.h). Sample -1: a filler row, which belongs to nothing.
// Segments: models/ops/kernels.h.
#pragma once
#include "models/nn/params.h"

// Tensors of i32 in one block of the device, filled through a mirror in host memory: a step reads
// fixed places, which one copy fills.
typedef struct packed_block {
    device *device; // borrowed
    char *mirror, *block;
    size_t bytes;
} packed_block;

// Gives COUNT tensors, whose shapes are set to the largest they will have, their places. A dry run
// may follow.
status packed_open(packed_block *b, device *d, tensor *const *x, int count);
// What packed_open takes on the device for them.
size_t packed_bytes(tensor *const *x, int count);
void packed_close(packed_block *b);
// X's numbers in host memory: written there before packed_send.
int32_t *packed_host(const packed_block *b, const tensor *x);
// Copies all to the device.
void packed_send(packed_block *b);

// Steps that a device records are replayed for batches of equal shapes, so there sizes are rounded
// up: ROWS and the MOST tokens of a text, to at most their rooms. Returns what kind of batch that
// makes (run.kind).
int64_t packed_round(int64_t *rows, int64_t rows_room, int64_t *most, int64_t most_room);
// Rows FIRST to END - 1 become filler: id and position 0, of no sample.
void packed_fill(int32_t *ids, int32_t *positions, int32_t *map, int64_t first, int64_t end);

// Texts behind each other. Dims say what the latest load (or, at first, the largest batch) holds.
typedef struct packed_texts {
    packed_block memory;
    tensor ids, positions; // (N)
    tensor rows;           // (N, 2)
    tensor segments;       // (B, SEGMENT_COLUMNS): each text attends to itself, as piece 1
    tensor first;          // (B): the row of each text's first token,
    tensor first_rows;     // (B, 2)
    tensor first_segments; // (B, SEGMENT_COLUMNS): and how it alone looks at its text
    int64_t most;          // tokens of the longest, or some more
    int64_t kind; // batches of equal kind and number have equal shapes, where steps are recorded
    bool steps;   // sizes are rounded up, because the device records
    int64_t rows_room, most_room;
    int32_t first_position; // of each text's first token: 0, or what is set behind packed_texts_open
} packed_texts;

// Room for B texts of MOST tokens.
status packed_texts_open(packed_texts *x, device *d, int64_t B, int64_t most);
void packed_texts_close(packed_texts *x);
size_t packed_texts_bytes(int64_t B, int64_t most);
// IDS: the tokens; text i has those from FIRST[i] up to FIRST[i + 1]. It is sample SAMPLE + i.
void packed_texts_load(packed_texts *x, const int32_t *ids, const int32_t *first, int64_t count,
                       int64_t sample);
