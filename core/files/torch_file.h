// PyTorch's weight files (.pt .pth .bin .ckpt): the zip layout of torch.save since 1.6 and the legacy one
// before it. Reading executes nothing (core/files/pickle.h says what is understood).
//
// A file may hold a tensor, a flat dict of tensors, or any nest of dicts and lists (a training checkpoint
// with its optimizer): tensors are listed under the path of their keys joined by '.', "state_dict.fc.bias";
// everything else is passed over. Stored zip entries are used straight from the map; deflated ones are
// expanded at first use. All sizes, offsets and strides are checked against the storages on opening, the
// storages' CRC-32 (zip only) when they are first used.
#pragma once
#include "core/files/element.h"
#include "core/memory.h"
#include <stdbool.h>

enum { TORCH_MAX_RANK = 8, TORCH_MAX_DEPTH = 64, TORCH_MAX_TENSORS = 1 << 18, TORCH_NAME_MAX = 512 };

typedef struct torch_entry {
    const char *name;
    element_type type;
    int rank;
    int64_t dim[TORCH_MAX_RANK];
    int64_t stride[TORCH_MAX_RANK], offset; // in elements of its storage
    int64_t count;                          // elements
    uint32_t storage;
} torch_entry;

typedef struct torch_file torch_file;

// Errors: IO, FORMAT (the text names the file, and the byte or the tensor), MEMORY. The file must not be
// cut while it is open.
status torch_file_open(torch_file **out, const char *path);
// The same from memory, which is borrowed until torch_file_close. NAME stands in error texts.
status torch_file_open_memory(torch_file **out, const char *name, const void *bytes, size_t size);
void torch_file_close(torch_file *f); // accepts NULL
// What was read of the file need not stay in memory.
void torch_file_forget(torch_file *f);

// Whether these first bytes of a file may be one of the two layouts.
bool torch_file_is_zip(const void *bytes, size_t size);
bool torch_file_is_legacy(const void *bytes, size_t size);

size_t torch_file_count(const torch_file *f);
const torch_entry *torch_file_at(const torch_file *f, size_t index); // in the order of the file
bool torch_file_legacy(const torch_file *f);

// Elements FIRST to FIRST + COUNT - 1 in row-major order, little-endian, to OUT.
status torch_file_copy(torch_file *f, const torch_entry *e, int64_t first, int64_t count, void *out);

// A storage that an ordinary pickle holds as a file of its own (that of a tensor which pickle.dump wrote):
// COUNT elements of TYPE at DATA, inside BYTES. NAME stands in error texts. FORMAT; MEMORY.
typedef struct torch_blob {
    element_type type;
    int64_t count;
    const unsigned char *data;
} torch_blob;
status torch_blob_read(torch_blob *out, const char *name, const void *bytes, size_t size);
