// safetensors files (github.com/huggingface/safetensors): a header in JSON, then the tensors'
// bytes.
//
// The reader maps the file and checks all of the header against the file before it returns: types,
// shapes, offsets that tile the data without hole or overlap. Tensors stay in the map: nothing is
// copied or converted. The writer streams, and its bytes depend on what was declared and written
// only. Not here: sharded indexes (model.safetensors.index.json), names of weights.
#pragma once
#include "core/memory.h"
#include "core/tensor.h"

// A file may hold up to 8 dimensions; the toolkit computes with TENSOR_MAX_RANK.
enum { SAFETENSORS_MAX_RANK = 8 };

typedef struct safetensors_entry {
    const char *name;
    const char *type_name; // as in the file: "F32", "BOOL", "F8_E4M3"
    dtype type;            // DTYPE_COUNT: one that the toolkit does not compute with
    int rank;
    int64_t dim[SAFETENSORS_MAX_RANK]; // (dim[0], ..., dim[rank - 1])
    const void *data;                  // in the map; not always aligned for its type: use memcpy
    size_t bytes;
} safetensors_entry;

typedef struct safetensors safetensors;

// Errors: IO, FORMAT (the text names the file and the tensor), MEMORY. The file must not be cut
// while it is open.
status safetensors_open(safetensors **out, const char *path);
void safetensors_close(safetensors *s); // accepts NULL

// Entries in the order of their data. Borrowed until safetensors_close.
size_t safetensors_count(const safetensors *s);
const safetensors_entry *safetensors_at(const safetensors *s, size_t index);
// NULL if there is none of that name.
const safetensors_entry *safetensors_lookup(const safetensors *s, const char *name);
// An entry to compute with: a missing name, a type that the toolkit does not know and more
// dimensions than TENSOR_MAX_RANK are FORMAT errors that name the file and the tensor.
status safetensors_find(const safetensors_entry **out, const safetensors *s, const char *name);

// The value of KEY in "__metadata__"; NULL if absent. Borrowed.
const char *safetensors_note(const safetensors *s, const char *key);
size_t safetensors_note_count(const safetensors *s);
const char *safetensors_note_at(const safetensors *s, size_t index, const char **value);

// Writing: create, declare all, write all in the same order, finish, close.
typedef struct safetensors_writer safetensors_writer;

// The file appears under its name in safetensors_finish; until then it is PATH.tmp.
status safetensors_create(safetensors_writer **out, const char *path);
// Data follow each other without padding: declare wide types first if alignment matters.
status safetensors_declare(safetensors_writer *w, const char *name, dtype type, int rank,
                           const int64_t *dim);
// An entry of "__metadata__"; in the order of calls.
status safetensors_declare_note(safetensors_writer *w, const char *key, const char *value);
// The bytes, or the next piece of them, of the tensor NAME. Tensors come in the order of
// declaration; another order or more bytes than declared is our own bug and dies. The first call
// ends declaring.
status safetensors_write(safetensors_writer *w, const char *name, const void *bytes, size_t count);
// All data must have been written (dies otherwise). Syncs and renames into place.
status safetensors_finish(safetensors_writer *w);
// Removes the temporary file unless finished. Accepts NULL.
void safetensors_writer_close(safetensors_writer *w);
