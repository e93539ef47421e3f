// JPEG and PNG files to pixels and back. image_codec.c is the only file that knows libjpeg and libpng.
// Decides by the file's first bytes, never by its name. What pixels mean is image.h's business.
#pragma once
#include "core/buffer.h"
#include "core/version.h"

#include <stdbool.h>

// Pixels row by row without padding, channels interleaved: (height, width, channels).
typedef struct image {
    int width, height;
    int channels; // 1 grey, 3 RGB
    int depth;    // bits of a sample: 8 (uint8_t) or 16 (uint16_t in the machine's byte order)
    void *pixels;
    size_t capacity; // bytes that PIXELS has room for; 0: not the codec's memory
} image;

// Sides beyond IMAGE_SIDE and more than IMAGE_PIXELS pixels are refused before memory is taken.
enum { IMAGE_SIDE = 32768, IMAGE_PIXELS = 512 * 1024 * 1024 };

// Decodes COUNT bytes; NAME stands in error texts. JPEG: the slow integer transform, grey stays grey,
// colour becomes RGB, CMYK is refused. PNG: palettes and fewer than 8 bits become 8 bits, alpha is
// dropped. Truncated or damaged data are a FORMAT error, also where the library would patch them over.
status image_decode(image *out, const uint8_t *bytes, size_t count, const char *name);
// The same into the memory of an earlier image (or a zeroed one), which grows where it is too small: large
// blocks come from the system page by page, a tenth of the time of a decode. Freed if it fails.
status image_decode_again(image *out, const uint8_t *bytes, size_t count, const char *name);
status image_read(image *out, const char *path);
// Whether the file begins as a JPEG or a PNG does.
bool image_is_known(const uint8_t *bytes, size_t count);
// Room for an image of that size in OUT, as above, for decoders that stand elsewhere; what the pixels are is
// not said. Errors: FORMAT (a size that is refused), MEMORY.
status image_take(image *out, const char *name, int width, int height, int channels, int depth);
// Accepts an image that was never filled, if it is zeroed.
void image_free(image *i);

// Appends 8-bit grey pixels (height, width) as a JPEG file's bytes. NAME stands in error texts.
status image_encode_jpeg(buffer *out, const uint8_t *grey, int width, int height, int quality, const char *name);
// Writes them; the file appears whole or not at all.
status image_write_jpeg(const char *path, const uint8_t *grey, int width, int height, int quality);
status image_write_png(const char *path, const uint8_t *grey, int width, int height);

// Of libjpeg, by the version of its interface, and of libpng.
library_version image_jpeg_version(void);
library_version image_png_version(void);
