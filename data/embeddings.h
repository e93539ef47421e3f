// Image embeddings, or other features of images, computed once and read by training and generation:
// one file for many images. The writer goes on where a killed run stopped; the reader finds rows by
// dicom_id. Host memory only.
//
// HDF5 that any reader opens:
//     embeddings (N, queries, width) f32, in one piece    dicom_id (N) strings    rows (1) i64:
//     written attributes: format, version, type, checkpoint, model, split, plan
// Features in a narrow type, which no reader of HDF5 knows, are bytes u8 (N, queries, 2 width).
// While it is written it is PATH.tmp, whose first `rows` rows are on the disk.
#pragma once
#include "core/memory.h"
#include "core/tensor.h"

enum { EMBEDDINGS_VERSION = 1, EMBEDDINGS_TEXT_SIZE = 128 };

// What a file of embeddings is made from.
typedef struct embeddings_facts {
    const char *checkpoint; // hash of the weights
    const char *model;      // what computed them
    const char *split;      // "train", ..., "all"
    const char *plan;       // the data set's (dataset_plan)
    int64_t count;          // N
    int queries, width;
    dtype type;                  // f32, bf16 or f16
    const char *const *dicom_id; // (N), distinct
} embeddings_facts;

// --- writing (data/embeddings_write.c) ----------------------------------------------------------

typedef struct embeddings_writer embeddings_writer;

// Starts PATH.tmp, or goes on with one that was begun from the same facts. A PATH that is complete
// and made from them counts as written; other facts, there or in PATH.tmp, are a FORMAT error that
// names the first difference and removes nothing. IO, also where another process is writing it;
// MEMORY.
status embeddings_create(embeddings_writer **out, const char *path, const embeddings_facts *facts);
// Rows that are there: the next one to hand over.
int64_t embeddings_written(const embeddings_writer *w);
// The next COUNT rows: ROWS (COUNT, queries, width) of the type. Every 64 MiB they are synced and
// counted as written.
status embeddings_add(embeddings_writer *w, const void *rows, int64_t count);
// Now. For stopping in good order.
status embeddings_sync(embeddings_writer *w);
// All rows are there: syncs and renames to PATH.
status embeddings_finish(embeddings_writer *w);
// Leaves what is not finished for the next embeddings_create. Accepts NULL.
void embeddings_writer_close(embeddings_writer *w);

// --- reading ------------------------------------------------------------------------------------

typedef struct embeddings_key {
    const char *dicom_id;
    int64_t row;
} embeddings_key;

typedef struct embeddings {
    char *path;
    int fd;
    int64_t count; // N
    int queries, width;
    dtype type;
    int64_t place;   // of the first row in the file
    int64_t *offset; // (N): of each row, in a pickle; else NULL
    int64_t rows;    // written
    int64_t rows_place;
    char checkpoint[EMBEDDINGS_TEXT_SIZE], model[EMBEDDINGS_TEXT_SIZE];
    char split[EMBEDDINGS_TEXT_SIZE], plan[EMBEDDINGS_TEXT_SIZE];
    char *text; // (N, text_size): ids, each NUL-ended
    size_t text_size;
    embeddings_key *sorted; // (N): by dicom_id
} embeddings;

// A file of ours, or a pickle that RaDialog's dump leaves (data/embeddings_pickle.c), which has no
// checkpoint, model, split and plan: they are empty. Errors: IO, FORMAT (names the file), MEMORY.
status embeddings_open(embeddings **out, const char *path);
// One of ours, which may still miss rows. For the writer.
status embeddings_open_part(embeddings **out, const char *path);
void embeddings_close(embeddings *e); // accepts NULL

const char *embeddings_id(const embeddings *e, int64_t row); // borrowed
// The row of an image; -1: it is not there.
int64_t embeddings_find(const embeddings *e, const char *dicom_id);
// OUT (queries, width) of the type. Threads may read at once. IO; FORMAT if the file was cut
// meanwhile.
status embeddings_read(void *out, const embeddings *e, int64_t row);
