// Zip archives for reading (PKWARE's APPNOTE 6.3), from bytes in memory: stored and deflated entries,
// zip64. Not here: writing, encryption, archives in several parts, other methods.
//
// Everything is checked before zip_open returns: the directory against the local headers, that entries lie
// inside the file and do not overlap, that names are unique and plain relative paths. Contents are checked
// (size and CRC-32) when they are read. Names are never used as paths.
#pragma once
#include "core/memory.h"
#include <stdbool.h>

typedef struct zip_entry {
    const char *name; // NUL-ended
    const unsigned char *packed;
    size_t packed_size, size;
    uint32_t crc;
    bool deflated;
    size_t begin; // of the local header
} zip_entry;

typedef struct zip_archive zip_archive;

// BYTES are borrowed until zip_close. NAME stands in error texts. Errors: FORMAT, MEMORY.
status zip_open(zip_archive **out, const char *name, const unsigned char *bytes, size_t size);
void zip_close(zip_archive *z); // accepts NULL

// Entries by name, in byte order. Borrowed.
size_t zip_count(const zip_archive *z);
const zip_entry *zip_at(const zip_archive *z, size_t index);
const zip_entry *zip_lookup(const zip_archive *z, const char *name); // NULL: none
// The entry that the directory lists first; NULL: empty.
const zip_entry *zip_first(const zip_archive *z);

// The entry's content: *DATA points into the archive's bytes, or, where it is deflated, to memory that
// *OWNED holds and the caller frees (else NULL). FORMAT: wrong CRC-32 or size, or an archive whose read
// entries together expand to more than ZIP_EXPANSION times its size.
enum { ZIP_EXPANSION = 64, ZIP_FREE_EXPANSION = 64 << 20 };
status zip_read(zip_archive *z, const zip_entry *e, const unsigned char **data, void **owned);
