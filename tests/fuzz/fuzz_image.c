// JPEG and PNG files: what decodes has the size it says, and becomes a square. Files that name large sizes
// are passed over: decoding them is correct and slow.
#include "data/image.h"
#include "tests/fuzz/helper_fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { PIXELS = 64 * 1024, SIDE = 4096, SQUARE = 24 };

static int64_t big(const uint8_t *at, int bytes) {
    int64_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

static bool large(int64_t a, int64_t b) {
    return a > SIDE || b > SIDE || a * b > PIXELS;
}

// Whether a header of the file, or what looks like one, names more pixels than are wanted here.
static bool too_large(const uint8_t *data, size_t size) {
    for (size_t i = 0; i + 10 < size; i++) {
        if (!memcmp(data + i, "IHDR", 4) && i + 12 <= size &&
            large(big(data + i + 4, 4), big(data + i + 8, 4)))
            return true;
        if (data[i] == 0xff && data[i + 1] >= 0xc0 && data[i + 1] <= 0xcf &&
            large(big(data + i + 5, 2), big(data + i + 7, 2)))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    image i;
    static uint8_t square[SQUARE * SQUARE], crop[SQUARE * SQUARE];
    if (too_large(data, size)) return 0;
    status rc = image_decode(&i, data, size, "input");
    if (rc) {
        demand_failure(rc);
        demand(!i.pixels);
        return 0;
    }
    demand((i.channels == 1 || i.channels == 3) && (i.depth == 8 || i.depth == 16));
    rc = image_square(square, &i, SQUARE);
    if (rc)
        demand_failure(rc);
    else
        image_crop(crop, square, SQUARE, SQUARE - 3);
    image_free(&i);
    return 0;
}
