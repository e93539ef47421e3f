// An aligner at work: the image tokens of radiographs (REFERENCE 4.6). For the embed command, and wherever a
// picture goes into a conversation (generate with images).
#pragma once
#include "train/aligner_data.h"
#include "train/image_files.h"
#include "train/inference.h"

typedef struct embedder {
    inference inference;
    wordpiece *words;
    buffer vocabulary;
    aligner model;
    aligner_inputs inputs;
    int64_t batch, queries, width;
    float *rows;                      // (batch, queries, width)
    int32_t *text_first;              // (batch + 1): no texts
    char checkpoint[16], made_by[96]; // what a file must agree with to be gone on with
} embedder;

// The checkpoint that --checkpoint names. To be closed also after a failure. USAGE, IO, FORMAT, MEMORY,
// DEVICE.
status embedder_open(embedder *e, const arguments *a);
// The checkpoint at PATH as it describes itself, on a device of its own (run.device), in f32, for one image at a
// time.
status embedder_open_at(embedder *e, const char *path, const char *where);
void embedder_close(embedder *e);
// Embeds B (at most the batch's size) into e->rows.
status embedder_images(embedder *e, const batch *b);
