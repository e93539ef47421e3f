// Zip archives for writing (PKWARE's APPNOTE 6.3): stored entries that follow each other, whose
// contents are streamed and begin at multiples of 64 bytes, as torch.save has them; zip64 where
// sizes or places need it. Not here: compression, times (all are of 1980, so that the bytes depend
// on the contents alone), reading (core/files/zip_archive.h).
#pragma once
#include "core/memory.h"

enum { ZIP_ALIGNMENT = 64 };

typedef struct zip_writer zip_writer;

// The file appears under its name in zip_finish; until then it is PATH.tmp. Errors of all: IO,
// MEMORY.
status zip_create(zip_writer **out, const char *path);
// The next entry: NAME, in ASCII, and its SIZE bytes. The one before it must be whole (dies
// otherwise).
status zip_begin(zip_writer *w, const char *name, uint64_t size);
// The next COUNT bytes of the entry; more than its size dies.
status zip_put(zip_writer *w, const void *bytes, size_t count);
// Writes the directory, syncs and renames into place.
status zip_finish(zip_writer *w);
// Removes the temporary file unless finished. Accepts NULL.
void zip_writer_close(zip_writer *w);

// Numbers from LIMIT on go into the fields of 64 bits: 2^32 - 1, unless a test asks for fewer,
// before the first entry.
void zip_limit(zip_writer *w, uint64_t limit);
