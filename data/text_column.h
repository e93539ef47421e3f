// A column of texts, in memory and in a shard: all bytes behind each other, where each begins, and
// which are there at all (a missing text is not an empty one). For shards alone.
//
// In the file NAME is a group of `bytes` (u8), `offsets` (i64, one more than texts) and `present` (u8).
// In memory every text also ends in a NUL.
#pragma once
#include "core/buffer.h"
#include "core/files/hdf5.h"
#include <stdbool.h>

typedef struct text_column {
    size_t count;
    int64_t *offset;  // (count + 1), in the file's bytes
    uint8_t *present; // (count)
    buffer bytes;     // empty if only the file has them
    int64_t place;    // where the file has them
    size_t offset_capacity, present_capacity;
} text_column;

// TEXT NULL: missing.
status text_column_add(text_column *c, const char *text);
status text_column_write(hdf5 *f, const char *name, const text_column *c);

// Reads COUNT (-1: any number of) texts and checks them; LOAD: with their bytes, which then must be
// texts without NUL.
status text_column_read(text_column *c, hdf5 *f, const char *name, int64_t count, bool load);
void text_column_free(text_column *c);

// Of a column in memory; "" where missing.
const char *text_column_at(const text_column *c, size_t i);
static inline int64_t text_column_length(const text_column *c, size_t i) {
    return c->offset[i + 1] - c->offset[i];
}
