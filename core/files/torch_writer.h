// Writes named tensors as torch.save does since 1.6: a zip archive of a pickled dict and one file
// of numbers for each tensor. torch.load reads it, with weights_only=True too;
// core/files/torch_file.h here.
//
// The writer streams, and its bytes depend on what was declared and written only. Not here: the
// legacy layout, nests of dicts, tensors that share numbers.
#pragma once
#include "core/files/element.h"
#include "core/memory.h"

// Writing: create, declare all, write all in the same order, finish, close. Errors of all: IO,
// MEMORY.
typedef struct torch_writer torch_writer;

// The file appears under its name in torch_finish; until then it is PATH.tmp.
status torch_create(torch_writer **out, const char *path);
// RANK is at most TORCH_MAX_RANK. A name twice is our own bug and dies.
status torch_declare(torch_writer *w, const char *name, element_type type, int rank,
                     const int64_t *dim);
// The bytes, row-major and little-endian, or the next piece of them, of the tensor NAME. Tensors
// come in the order of declaration; another order or more bytes than declared is our own bug and
// dies. The first call ends declaring.
status torch_write(torch_writer *w, const char *name, const void *bytes, size_t count);
// All data must have been written (dies otherwise). Syncs and renames into place.
status torch_finish(torch_writer *w);
// Removes the temporary file unless finished. Accepts NULL.
void torch_writer_close(torch_writer *w);

// For tests: core/files/zip_writer.h, zip_limit.
void torch_writer_limit(torch_writer *w, uint64_t limit);
