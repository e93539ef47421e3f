// HDF5 files: plain datasets of numbers, images in one chunk per record, attributes.
//
// The only file that knows libhdf5. One lock guards the library, which is not thread-safe; raw bytes
// are never read through it: it says where they are, pread does the rest off the lock. Files carry no
// time and depend only on what was written. Not here: conversion between types, strings of variable
// length, links to other files (a file that has them is refused).
#pragma once
#include "core/memory.h"
#include "core/tensor.h"
#include "core/version.h"

enum { HDF5_MAX_RANK = 5 };

typedef struct hdf5 hdf5;

// A dataset as the file has it.
typedef struct hdf5_shape {
    dtype type;
    int rank;
    int64_t dim[HDF5_MAX_RANK];
    size_t bytes;   // of all elements
    bool chunked;   // else one piece in the file
    int64_t offset; // of that piece; -1 if chunked or empty
} hdf5_shape;

// Where a chunk's bytes are.
typedef struct hdf5_chunk {
    int64_t offset, bytes;
} hdf5_chunk;

// Paths are "name" or "group/name". Errors: IO, FORMAT (names the file and the dataset), MEMORY.

status hdf5_open(hdf5 **out, const char *path); // read-only
// A new file; what stands at PATH is lost. It is complete once hdf5_finish has returned.
status hdf5_create(hdf5 **out, const char *path);
// Writes all out and syncs. Close follows.
status hdf5_finish(hdf5 *f);
void hdf5_close(hdf5 *f); // accepts NULL
const char *hdf5_path(const hdf5 *f); // for messages

status hdf5_make_group(hdf5 *f, const char *name);
// A dataset in one piece.
status hdf5_write(hdf5 *f, const char *name, dtype type, int rank, const int64_t *dim,
                  const void *data);
// A dataset in one piece that has its place in the file at once and its numbers later: rows BEGIN to
// BEGIN + COUNT of the first dimension by hdf5_write_rows, or by other means than the library.
status hdf5_make(hdf5 *f, const char *name, dtype type, int rank, const int64_t *dim);
status hdf5_write_rows(hdf5 *f, const char *name, int64_t begin, int64_t count, const void *data);
// COUNT texts as one dataset of UTF-8 strings of the longest one's length, padded with NUL.
status hdf5_write_strings(hdf5 *f, const char *name, const char *const *text, int64_t count);

// A dataset of records, one chunk each: dim[0] is the most there can be. DEFLATE 0: none, else the
// level noted in the file; the caller compresses (zlib's format) and hands over the bytes.
status hdf5_make_records(hdf5 *f, const char *name, dtype type, int rank, const int64_t *dim,
                         int deflate);
status hdf5_write_record(hdf5 *f, const char *name, int64_t record, const void *bytes, size_t size);
// Cuts the dataset to COUNT records.
status hdf5_end_records(hdf5 *f, const char *name, int64_t count);

status hdf5_write_int(hdf5 *f, const char *name, int64_t value); // attributes of the file
status hdf5_write_text(hdf5 *f, const char *name, const char *value);
status hdf5_read_int(int64_t *out, hdf5 *f, const char *name);
// At most SIZE - 1 bytes.
status hdf5_read_text(char *out, hdf5 *f, const char *name, size_t size);

// Checked against the size of the file.
status hdf5_look(hdf5_shape *out, hdf5 *f, const char *name);
// As hdf5_look; fails unless type, rank and sizes are these (-1 fits any).
status hdf5_expect(hdf5_shape *out, hdf5 *f, const char *name, dtype type, int rank,
                   const int64_t *dim);
// The same; fails also where it is not in one piece.
status hdf5_expect_whole(hdf5_shape *out, hdf5 *f, const char *name, dtype type, int rank,
                         const int64_t *dim);
// The same, and its bytes in *TARGET, a new allocation.
status hdf5_load(void *target, hdf5_shape *out, hdf5 *f, const char *name, dtype type, int rank,
                 const int64_t *dim);
// A dataset of strings of one length (not of variable length) as U8 (strings, bytes of each), where
// NUL ends a shorter one.
status hdf5_expect_strings(hdf5_shape *out, hdf5 *f, const char *name);
// All bytes of a dataset in one piece.
status hdf5_read(void *out, hdf5 *f, const char *name, const hdf5_shape *shape);
// TABLE (COUNT): where each record of a dataset of records is. COUNT must be dim[0]. A record that is
// missing, stands outside the file or is filtered by other than DEFLATE (0: none) is a FORMAT error.
status hdf5_chunks(hdf5_chunk *table, hdf5 *f, const char *name, int64_t count, int deflate);

library_version hdf5_version(void);
