// DICOM files: whatever they say, it is texts that end; pixels have the size that was announced and
// become a square by both recipes; a report is read back. Images that name large sizes are passed
// over: decoding them is correct and slow. The walk before it ends, whatever it is given.
#include "data/dicom_pixels.h"
#include "data/dicom_walk.h"
#include "data/image.h"
#include "tests/fuzz/helper_fuzz.h"

#include <string.h>

enum { PIXELS = 64 * 1024, SQUARE = 24 };

static void keep(void *context, const char *text, size_t length) {
    buffer *out = context;
    buffer_append(out, text, length);
}

static void demand_why(int rc, const char *why) {
    demand(rc == 0 || rc == 1);
    demand(!rc || (why[0] && strlen(why) < DICOM_TEXT && !strchr(why, '\n')));
}

static void read_report(dicom_file *f) {
    char why[DICOM_TEXT];
    buffer text = {0};
    int rc = dicom_read_report(f, keep, &text, why, sizeof why);
    demand_why(rc, why);
    if (!rc) touch_bytes(text.data, text.length);
    buffer_free(&text);
}

static void read_image(const char *path) {
    static uint8_t square[SQUARE * SQUARE];
    buffer bytes = {0};
    for (int recipe = 0; recipe < DICOM_RECIPES; recipe++) {
        image i = {0};
        status rc = dicom_image_read(&i, &bytes, path, (dicom_recipe)recipe);
        if (rc) {
            demand_failure(rc);
            demand(!i.pixels);
            continue;
        }
        demand(i.channels == 1 && (i.depth == 8 || (i.depth == 16 && recipe == DICOM_WINDOW)));
        touch_bytes(i.pixels, (size_t)i.width * (size_t)i.height * (size_t)(i.depth / 8));
        demand(!image_square(square, &i, SQUARE));
        image_free(&i);
    }
    buffer_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    dicom_file *f;
    dicom_facts facts;
    dicom_frame frame;
    char why[DICOM_TEXT];
    const char *path = memory_file(0, data, size);
    int rc = dicom_walk(data, size, why, sizeof why);
    demand_why(rc, why);
    rc = dicom_open(&f, path, why, sizeof why);
    demand_why(rc, why);
    if (rc) {
        demand(!f);
        return 0;
    }
    dicom_read_facts(&facts, f);
    touch_bytes(&facts, sizeof facts);
    demand(memchr(facts.instance, 0, sizeof facts.instance) &&
           memchr(facts.patient, 0, sizeof facts.patient));
    rc = dicom_read_frame(&frame, f, why, sizeof why);
    demand_why(rc, why);
    bool small = !rc && (int64_t)frame.width * frame.height <= PIXELS;
    if (!rc)
        demand(frame.stored >= 1 && frame.stored <= frame.allocated &&
               frame.high < frame.allocated);
    read_report(f);
    dicom_close(f);
    if (small) read_image(path);
    return 0;
}
