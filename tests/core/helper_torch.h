// Writes PyTorch's files byte by byte, so that tests can make every wrong one. Nothing here checks anything.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

// --- pickles -------------------------------------------------------------------------------------
void pk_byte(buffer *b, int value);
void pk_bytes(buffer *b, const void *bytes, size_t count);
void pk_number(buffer *b, uint64_t value, int width); // little-endian
void pk_text(buffer *b, const char *text);            // BINUNICODE
void pk_int(buffer *b, int64_t value);                // LONG1 of 8 bytes
void pk_global(buffer *b, const char *module, const char *name);

// A tensor's rebuild call. The storage is KEY of TYPE ("FloatStorage") with COUNT elements.
typedef struct pk_tensor {
    const char *key, *type;
    int64_t count, offset;
    int rank;
    int64_t dim[10], stride[10];
} pk_tensor;
void pk_put_tensor(buffer *b, const pk_tensor *t);

// "\x80\2}(" + key, tensor, ... + "u.": the usual flat dict. Call pk_open, then pk_entry for each, pk_close.
void pk_open(buffer *b);
void pk_entry(buffer *b, const char *name, const pk_tensor *t);
void pk_close(buffer *b);

// --- zip -----------------------------------------------------------------------------------------
typedef struct zip_part {
    const char *name;
    const void *data;
    size_t size;
    bool deflate;
    // Lies, added to what is true.
    uint32_t crc_change;
    int64_t size_change;
    int64_t place_change; // of the local header
} zip_part;

enum { ZIP_WIDE = 1 }; // sizes and places in zip64 fields
void zip_write(buffer *out, const zip_part *parts, int count, int flags);
// ROOT/data.pkl and ROOT/data/0, of COUNT floats 0, 1, 2, ... The usual file.
void torch_zip(buffer *out, const char *root, const buffer *pickle, int64_t count);

// --- legacy --------------------------------------------------------------------------------------
// Magic, version and system, OBJECT, and the one storage "0" of COUNT floats 0, 1, 2, ... which says it has
// SAYS.
void torch_legacy(buffer *out, const buffer *object, int64_t count, int64_t says);
