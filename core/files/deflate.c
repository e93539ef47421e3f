#include "core/files/deflate.h"

#include <libdeflate.h>
#include <threads.h>

struct deflater {
    struct libdeflate_compressor *compressor;
    struct libdeflate_decompressor *decompressor;
};

static void *allocate(size_t size) {
    void *block;
    return mem_take(&block, size, 1, "a compressor") ? NULL : block;
}

static void install_allocator(void) {
    libdeflate_set_memory_allocator(allocate, mem_free);
}

status deflater_open(deflater **out, int level) {
    static once_flag once = ONCE_FLAG_INIT;
    deflater *d;
    if (level < 0 || level > 12) die("deflater_open: level %d is not 0 to 12", level);
    call_once(&once, install_allocator);
    *out = NULL;
    status rc = mem_new(&d, 1, "a compressor");
    if (rc) return rc;
    d->compressor = libdeflate_alloc_compressor(level);
    if (d->compressor) d->decompressor = libdeflate_alloc_decompressor();
    if (!d->decompressor) {
        deflater_close(d);
        return STATUS_MEMORY; // the text is the allocator's
    }
    *out = d;
    return STATUS_OK;
}

void deflater_close(deflater *d) {
    if (!d) return;
    libdeflate_free_compressor(d->compressor);
    libdeflate_free_decompressor(d->decompressor);
    mem_free(d);
}

size_t zlib_bound(size_t size) {
    return libdeflate_zlib_compress_bound(NULL, size);
}

void zlib_compress(deflater *d, void *out, size_t *written, const void *in, size_t capacity,
                   size_t size) {
    *written = libdeflate_zlib_compress(d->compressor, in, size, out, capacity);
    if (!*written)
        die("zlib_compress: %zu bytes do not fit into %zu; zlib_bound was not asked", size,
            capacity);
}

static status judge(enum libdeflate_result result, size_t made, size_t out_size, size_t taken,
                    size_t in_size) {
    switch (result) {
    case LIBDEFLATE_SUCCESS:
        break;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        return status_fail(STATUS_FORMAT, "compressed data hold more than the %zu bytes expected",
                           out_size);
    default:
        return status_fail(STATUS_FORMAT, "compressed data are damaged (%zu bytes)", in_size);
    }
    if (made != out_size)
        return status_fail(STATUS_FORMAT, "compressed data hold %zu bytes, expected %zu", made,
                           out_size);
    if (taken != in_size)
        return status_fail(STATUS_FORMAT, "compressed data end after %zu of %zu bytes", taken,
                           in_size);
    return STATUS_OK;
}

status zlib_expand(deflater *d, void *out, const void *in, size_t out_size, size_t in_size) {
    size_t taken = 0, made = 0;
    enum libdeflate_result result =
        libdeflate_zlib_decompress_ex(d->decompressor, in, in_size, out, out_size, &taken, &made);
    return judge(result, made, out_size, taken, in_size);
}

status deflate_expand(deflater *d, void *out, const void *in, size_t out_size, size_t in_size) {
    size_t taken = 0, made = 0;
    enum libdeflate_result result = libdeflate_deflate_decompress_ex(
        d->decompressor, in, in_size, out, out_size, &taken, &made);
    return judge(result, made, out_size, taken, in_size);
}

library_version deflate_version(void) {
    return version_texts("", LIBDEFLATE_VERSION_STRING);
}
