#include "data/image_size.h"

#include <string.h>

static int64_t big_endian(const uint8_t *at, int bytes) {
    int64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

// The header chunk stands first.
static bool png_size(int64_t *width, int64_t *height, const uint8_t *bytes, size_t count) {
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    if (count < 24 || memcmp(bytes, signature, sizeof signature) || memcmp(bytes + 12, "IHDR", 4))
        return false;
    *width = big_endian(bytes + 16, 4);
    *height = big_endian(bytes + 20, 4);
    return true;
}

// Start-of-frame markers (ITU T.81, table B.1): C0 to CF, but for tables of Huffman (C4) and
// arithmetic codes (CC), and JPG (C8).
static bool is_frame(uint8_t marker) {
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

// Segments, each with its length, up to the frame's.
static bool jpeg_size(int64_t *width, int64_t *height, const uint8_t *bytes, size_t count) {
    if (count < 4 || bytes[0] != 0xFF || bytes[1] != 0xD8) return false;
    for (size_t at = 2; count - at >= 9;) {
        if (bytes[at] != 0xFF) return false;
        const uint8_t marker = bytes[at + 1];
        if (marker == 0xFF) { // fill
            at++;
            continue;
        }
        if (is_frame(marker)) {
            *height = big_endian(bytes + at + 5, 2);
            *width = big_endian(bytes + at + 7, 2);
            return true;
        }
        const bool alone = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
        const size_t length = alone ? 0 : (size_t)big_endian(bytes + at + 2, 2);
        if (marker == 0xDA || marker == 0xD9 || (!alone && length < 2) || length > count - at - 2)
            return false;
        at += 2 + length;
    }
    return false;
}

bool image_size(int64_t *width, int64_t *height, const uint8_t *bytes, size_t count) {
    return png_size(width, height, bytes, count) || jpeg_size(width, height, bytes, count);
}
