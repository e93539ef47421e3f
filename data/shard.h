// One shard file: up to 2,048 records of one split. HDF5 that any reader opens, closed by a seal of our
// own behind it. For ingest (writes) and dataset (reads).
//
//     images (N, 512, 512) u8, a chunk per image, deflate-1 or plain    labels (N, 14) i8
//     sizes (N, 2) i32: original width and height     crc32 (N) i64: of each image's raw pixels
//     dicom_id, study_id, ..., findings, impression, ...: text columns (data/text_column.h)
//     skipped_line (S) i64, skipped_reason, skipped_id, skipped_detail: rows that made no record
//     attributes: format, version, split, deflate, plan (hash of ingest's inputs and options)
//
// The seal holds where each image is, and the CRC-32 of everything else in the file. It is checked before
// libhdf5 sees the file, so that damage is found by us; each image has its own checksum.
#pragma once
#include "core/files/deflate.h"
#include "data/dataset.h"
#include "data/text_column.h"
#include <stdatomic.h>

enum { SHARD_RECORDS_MAX = 2048, SHARD_VERSION = 1, PLAN_SIZE = 17, SHARD_NAME_SIZE = 64 };

extern const char *const record_id_names[ID_COUNT];
extern const char *const record_text_names[TEXT_COUNT];

// "train-00012.h5" in NAME, which is returned.
char *shard_name(char name[SHARD_NAME_SIZE], int split, int64_t number);

// --- writing -------------------------------------------------------------------------------------

typedef struct shard_record {
    const void *packed; // the chunk: pixels, compressed if the shard is
    size_t packed_size;
    uint32_t crc; // of the raw pixels
    int32_t width, height;
    int8_t labels[CLASS_COUNT];
    const char *id[ID_COUNT];
    const char *text[TEXT_COUNT]; // NULL: the report has no such section
} shard_record;

typedef struct shard_writer shard_writer;

// The file appears as PATH in shard_finish; until then it is PATH.tmp. MOST bounds the records.
// LEVEL 0: plain. PLAN is borrowed.
status shard_create(shard_writer **out, const char *path, int split, const char *plan, int level,
                    int64_t most);
status shard_add(shard_writer *w, const shard_record *record);
status shard_skip(shard_writer *w, int64_t line, const char *reason, const char *id,
                  const char *detail);
// Writes the tables, seals, syncs, renames.
status shard_finish(shard_writer *w);
// Removes the temporary file unless finished. Accepts NULL.
void shard_writer_close(shard_writer *w);

// --- reading -------------------------------------------------------------------------------------

typedef struct shard {
    char *path;
    int fd;
    int split, level; // level 0: plain
    char plan[PLAN_SIZE];
    uint32_t seal;      // CRC-32 of all but the images' bytes; these are checksummed in it
    int64_t records;    // N
    hdf5_chunk *chunk;  // (N)
    uint32_t *crc;      // (N)
    atomic_uchar *checked; // (N): 1 once the image has been read and its checksum was right
    int8_t *labels;     // (N, CLASS_COUNT)
    int32_t *sizes;     // (N, 2)
    text_column id[ID_COUNT];     // in memory
    text_column text[TEXT_COUNT]; // in the file
    int64_t *skipped_line;        // (skipped)
    text_column skipped_reason, skipped_id, skipped_detail;
} shard;

// Errors: IO, FORMAT (names the file), MEMORY.
status shard_open(shard **out, const char *path);
void shard_close(shard *s); // accepts NULL
// Gives back what only ingest needs.
void shard_forget_skipped(shard *s);

// OUT (STORED_PIXELS) of the I-th record. PACKED has room for its chunk's bytes. The checksum is taken when
// the record is read for the first time since shard_open (it costs as much as the read itself); zlib's own
// is part of every inflation.
status shard_pixels(uint8_t *out, const shard *s, int64_t i, deflater *d, void *packed);
status shard_text(buffer *out, const shard *s, int64_t i, record_text kind);

// --- the seal (data/shard_seal.c) ----------------------------------------------------------------

// Appends the seal to the HDF5 file at PATH whose images are at CHUNK (COUNT).
status shard_seal_write(const char *path, const hdf5_chunk *chunk, int64_t count);
// Checks the file behind FD and reads the table; CHUNK is a new allocation of COUNT.
status shard_seal_read(hdf5_chunk **chunk, int64_t *count, uint32_t *crc, int fd,
                       const char *path);
