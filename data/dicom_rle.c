#include "data/dicom_rle.h"

#include <string.h>

enum { HEADER = 64 };

static uint32_t little(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

// A segment is the bytes of one place in all samples: OUT (count), every STEP-th byte. What follows
// the last pixel is padding.
static bool decode_segment(uint8_t *out, size_t count, size_t step, const uint8_t *coded,
                           size_t size) {
    size_t made = 0;
    while (made < count) {
        if (size < 2) return false;
        size_t run = *coded < 128 ? *coded + 1u : 257u - *coded;
        if (*coded == 128) { // says nothing
            coded++, size--;
            continue;
        }
        bool copied = *coded < 128;
        size_t used = copied ? run + 1 : 2;
        // Runs may end behind the last pixel, where an even number of bytes was coded.
        if (used > size || run > count - made + 1) return false;
        for (size_t i = 0; i < run && made < count; i++, made++)
            out[made * step] = coded[copied ? 1 + i : 1];
        coded += used, size -= used;
    }
    return true;
}

bool dicom_rle_decode(void *samples, size_t count, int width, const uint8_t *coded, size_t size) {
    static const uint16_t one = 1;
    bool little_endian = *(const uint8_t *)&one;
    if (size < HEADER || little(coded) != (uint32_t)width) return false;
    // The most significant byte comes first.
    for (int s = 0; s < width; s++) {
        size_t begin = little(coded + 4 + 4 * s);
        size_t end = s + 1 < width ? little(coded + 8 + 4 * s) : size;
        size_t place = (size_t)(little_endian ? width - 1 - s : s);
        if (begin < HEADER || begin > end || end > size ||
            !decode_segment((uint8_t *)samples + place, count, (size_t)width, coded + begin,
                            end - begin))
            return false;
    }
    return true;
}
