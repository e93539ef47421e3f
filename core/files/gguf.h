// GGUF files (version 3; github.com/ggml-org/ggml, docs/gguf.md), which llama.cpp loads: notes by
// key, a table of tensors, then their numbers, each tensor at a multiple of the alignment.
//
// The reader maps the file and checks notes and table against its size before it returns. The
// writer streams. Shapes are row-major here as everywhere in the toolkit; files name the fastest
// dimension first. Not here: what tensors are called and in which order their rows stand
// (train/export_gguf.c).
#pragma once
#include "core/memory.h"
#include "core/tensor.h"

enum { GGUF_MAX_RANK = 4, GGUF_ALIGNMENT = 32 };

typedef struct gguf_entry {
    const char *name;
    dtype type; // F32, F16 or BF16; DTYPE_COUNT: another one, whose data are not looked at
    int rank;
    int64_t dim[GGUF_MAX_RANK]; // (dim[0], ..., dim[rank - 1])
    const void *data;           // in the map; NULL where the type is not known
    size_t bytes;
} gguf_entry;

typedef struct gguf gguf;

// Errors: IO, FORMAT (the text names the file), MEMORY. The file must not be cut while it is open.
status gguf_open(gguf **out, const char *path);
void gguf_close(gguf *g); // accepts NULL

// Entries in the order of the file. Borrowed until gguf_close.
size_t gguf_count(const gguf *g);
const gguf_entry *gguf_at(const gguf *g, size_t index);
const gguf_entry *gguf_lookup(const gguf *g, const char *name); // NULL: none

// The text or the number under KEY; NULL or false: there is none of that kind. Lists are passed by.
const char *gguf_text(const gguf *g, const char *key);
bool gguf_number(const gguf *g, const char *key, double *out);

// Writing: create, note and declare all, write all in the order of declaration, finish, close.
typedef struct gguf_writer gguf_writer;

// The file appears under its name in gguf_finish; until then it is PATH.tmp.
status gguf_create(gguf_writer **out, const char *path);
status gguf_note_text(gguf_writer *w, const char *key, const char *value);
status gguf_note_f32(gguf_writer *w, const char *key, float value);
status gguf_note_u32(gguf_writer *w, const char *key, uint32_t value);
// TYPE: F32, F16 or BF16. Dies on others, on impossible shapes and behind the first gguf_write.
status gguf_declare(gguf_writer *w, const char *name, dtype type, int rank, const int64_t *dim);
// All bytes of the tensor NAME, whose turn it is; dies otherwise.
status gguf_write(gguf_writer *w, const char *name, const void *bytes, size_t count);
// All data must have been written (dies otherwise). Syncs and renames into place.
status gguf_finish(gguf_writer *w);
// Removes the temporary file unless finished. Accepts NULL.
void gguf_writer_close(gguf_writer *w);
