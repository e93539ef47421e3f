// Compression of whole blocks in zlib's format (RFC 1950), which HDF5 chunks use, and expansion of the
// bare deflate streams (RFC 1951) of zip archives.
//
// The only file beside core/checksum.c that knows libdeflate. Not a stream: input and output are
// whole in memory, and the size of what comes out is known to the caller before.
#pragma once
#include "core/memory.h"
#include "core/version.h"

// A compressor and a decompressor. One per thread, opened once and reused: not to be shared.
typedef struct deflater deflater;

// LEVEL 0 (stored) to 12; 1 is the shards' level.
status deflater_open(deflater **out, int level);
void deflater_close(deflater *d); // accepts NULL

// The most bytes that SIZE bytes can take when compressed at any level.
size_t zlib_bound(size_t size);

// Compresses IN into OUT, which has room for CAPACITY bytes (zlib_bound is always enough; less is
// an error of ours and dies when it does not suffice). *WRITTEN is what it took.
void zlib_compress(deflater *d, void *out, size_t *written, const void *in, size_t capacity,
                   size_t size);

// Expands all of IN into exactly OUT_SIZE bytes. Damaged input, another size, a wrong Adler-32 or
// bytes after the stream are STATUS_FORMAT; the text says which of them, the caller adds the place.
status zlib_expand(deflater *d, void *out, const void *in, size_t out_size, size_t in_size);

// The same for a bare deflate stream, which has no checksum of its own.
status deflate_expand(deflater *d, void *out, const void *in, size_t out_size, size_t in_size);

// Of libdeflate, which does not tell what runs.
library_version deflate_version(void);
