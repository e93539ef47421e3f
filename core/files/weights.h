// Files of named tensors behind one interface, told apart by their content: safetensors, PyTorch's zip and
// legacy files, and the index of a model in several such files (Hugging Face's *.index.json).
//
// The caller sees names, types, shapes and numbers. Which names a model wants is not known here
// (models/nn/load.h).
#pragma once
#include "core/files/element.h"
#include "core/memory.h"

enum { WEIGHT_MAX_RANK = 8 };

typedef struct weight_entry {
    const char *name;
    element_type type;     // ELEMENT_COUNT: one that cannot be converted (F8_E4M3, ...)
    const char *type_name; // as safetensors names it: "F32", "BOOL"
    int rank;
    int64_t dim[WEIGHT_MAX_RANK]; // (dim[0], ..., dim[rank - 1])
    int64_t count;                // elements
    size_t bytes;                 // row-major without gaps
    uint32_t part;                // of the file's parts, and place therein
    size_t place;
} weight_entry;

typedef struct weights weights;

// Errors: IO, FORMAT (the text names the file and the tensor), MEMORY. Files must not be cut while open.
status weights_open(weights **out, const char *path);
// Which file of FOLDER to open: the first of FILE (ended by NULL) that is there, or FOLDER itself where it is
// a file. PATH has SIZE bytes; WHAT they hold, for the error. IO.
status weights_find(char *path, size_t size, const char *folder, const char *const *file, const char *what);
// Of a model in Hugging Face's layout.
extern const char *const weights_model_files[];
void weights_close(weights *w); // accepts NULL

// "safetensors", "PyTorch zip", "PyTorch legacy", "index of N files".
const char *weights_format(const weights *w);
const char *weights_path(const weights *w);

// Entries in the order of the file. Borrowed until weights_close.
size_t weights_count(const weights *w);
const weight_entry *weights_at(const weights *w, size_t index);
const weight_entry *weights_lookup(const weights *w, const char *name); // NULL: none

// All numbers of E in row-major order. An ELEMENT_COUNT type is FORMAT.
status weights_read_f32(weights *w, const weight_entry *e, float *out);   // (e->count)
status weights_read_f64(weights *w, const weight_entry *e, double *out);  // (e->count)
// The bytes of elements FIRST to FIRST + COUNT - 1, as the file holds them, in *OUT: of whatever alignment,
// valid until the next call for W. COUNT is at most WEIGHT_PIECE.
enum { WEIGHT_PIECE = 1 << 16 };
status weights_piece(weights *w, const weight_entry *e, int64_t first, int64_t count, const void **out);
// The bytes of E need not stay in memory: a file that is read once is not there as a whole. They are read
// again when they are wanted.
void weights_forget(weights *w, const weight_entry *e);
// CRC-32 of the little-endian, row-major bytes.
status weights_checksum(weights *w, const weight_entry *e, uint32_t *crc);
