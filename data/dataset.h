// A shard directory as one set of records: what `ingest` made, read-only, for training and evaluation.
//
// Records are numbered through all shards: all of train, then validate, then test, each in the order
// of the source. Labels and ids are in memory (about 200 bytes per record); texts and pixels are read
// when asked for. All functions but open and close may be called from several threads at once.
#pragma once
#include "core/buffer.h"
#include "data/labels.h"
#include <stdbool.h>

enum { SPLIT_TRAIN, SPLIT_VALIDATE, SPLIT_TEST, SPLIT_COUNT };
extern const char *const split_names[SPLIT_COUNT]; // "train", "validate", "test"

enum { STORED_SIDE = 512, STORED_PIXELS = STORED_SIDE * STORED_SIDE };

//  X(name in C, name in the shard)
#define RECORD_ID_LIST(X)                                                                          \
    X(DICOM, "dicom_id")                                                                           \
    X(STUDY, "study_id")                                                                           \
    X(SUBJECT, "subject_id")                                                                       \
    X(VIEW, "view")

// Sections of the report, as UTF-8 like the file's, trimmed, line breaks kept.
#define RECORD_TEXT_LIST(X)                                                                        \
    X(FINDINGS, "findings")                                                                        \
    X(IMPRESSION, "impression")                                                                    \
    X(LAST_PARAGRAPH, "last_paragraph")                                                            \
    X(COMPARISON, "comparison")                                                                    \
    X(INDICATION, "indication")                                                                    \
    X(HISTORY, "history")

typedef enum record_id {
#define X(name, text) ID_##name,
    RECORD_ID_LIST(X)
#undef X
    ID_COUNT
} record_id;

typedef enum record_text {
#define X(name, text) TEXT_##name,
    RECORD_TEXT_LIST(X)
#undef X
    TEXT_COUNT
} record_text;

typedef struct dataset dataset;

// Reads DIR/manifest.json and the tables of every shard, and checks them against each other.
// Errors: IO, FORMAT (names the file; says whether to run ingest again), MEMORY.
status dataset_open(dataset **out, const char *dir);
void dataset_close(dataset *s); // accepts NULL

int64_t dataset_records(const dataset *s);
int64_t dataset_split_begin(const dataset *s, int split); // its first record's number
int64_t dataset_split_count(const dataset *s, int split);
int dataset_split_of(const dataset *s, int64_t record);

// (CLASS_COUNT): LABEL_... Borrowed.
const int8_t *dataset_labels(const dataset *s, int64_t record);
// Borrowed; "" where the source had none.
const char *dataset_id(const dataset *s, int64_t record, record_id kind);
// Pixels of the original image: {width, height}.
const int32_t *dataset_size(const dataset *s, int64_t record);
// The number of the record with that dicom_id; -1: none. Binary search.
int64_t dataset_find(const dataset *s, const char *dicom_id);
// The shard's file name, for messages.
const char *dataset_shard(const dataset *s, int64_t record);
// The manifest's hash of inputs and options; changes when the data do. Borrowed.
const char *dataset_plan(const dataset *s);

// Whether the report had that section (it may still be empty: see _length), and its bytes.
bool dataset_has_text(const dataset *s, int64_t record, record_text kind);
int64_t dataset_text_length(const dataset *s, int64_t record, record_text kind);
// Replaces OUT's content by the section; empty if the report had none. Errors: IO, MEMORY.
status dataset_text(buffer *out, const dataset *s, int64_t record, record_text kind);

// What a thread needs to read pixels. One per thread; SET is borrowed.
typedef struct pixel_reader pixel_reader;
status pixel_reader_open(pixel_reader **out, const dataset *set);
void pixel_reader_close(pixel_reader *r); // accepts NULL
// OUT (STORED_SIDE, STORED_SIDE): the stored square. Errors: IO; FORMAT naming shard and dicom_id when
// the bytes do not inflate or, at the record's first reading, their checksum is not the stored one.
status dataset_pixels(uint8_t *out, pixel_reader *r, int64_t record);
