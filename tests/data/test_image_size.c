// data/image_size.h: the sides of what the codec writes, of frames behind other segments, of what is damaged.
#include "core/files/fs.h"
#include "data/image_codec.h"
#include "data/image_size.h"
#include "tests/core/helper_check.h"

#include <stdlib.h>
#include <string.h>

static bool sides(int64_t *width, int64_t *height, const buffer *b) {
    return image_size(width, height, (const uint8_t *)b->data, b->length);
}

START_TEST(what_the_codec_writes) {
    static const int size[][2] = {{1, 1}, {3, 500}, {257, 2}, {64, 64}};
    uint8_t *grey = calloc(512, 512);
    for (int i = 0; i < 8; i++) {
        const int width = size[i / 2][0], height = size[i / 2][1];
        int64_t w, h;
        buffer b = {0};
        ck_assert_int_eq(i % 2 ? image_write_png(scratch("x"), grey, width, height)
                               : image_write_jpeg(scratch("x"), grey, width, height, 90), STATUS_OK);
        ck_assert_int_eq(file_read(scratch("x"), 0, &b), STATUS_OK);
        ck_assert(sides(&w, &h, &b));
        ck_assert(w == width && h == height);
        // Cut anywhere, it says the same or nothing.
        for (size_t n = 0; n < b.length && n < 1000; n++) {
            uint8_t *part = malloc(n ? n : 1);
            memcpy(part, b.data, n);
            if (image_size(&w, &h, part, n)) ck_assert(w == width && h == height);
            free(part);
        }
        buffer_free(&b);
    }
    free(grey);
}
END_TEST

START_TEST(frames_of_jpeg) {
    static const struct {
        const char *bytes;
        size_t count;
        bool known;
    } files[] = {
        {"\xFF\xD8\xFF\xC2\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 15, true},               // progressive
        {"\xFF\xD8\xFF\xE1\0\x04xy\xFF\xFF\xC9\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 22, true}, // behind another, and fill
        {"\xFF\xD8\xFF\x01\xFF\xD0\xFF\xC0\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 19, true},    // markers without length
        {"\xFF\xD8\xFF\xC4\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 15, false},              // a table
        {"\xFF\xD8\xFF\xDA\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 15, false},              // a scan without a frame
        {"\xFF\xD8\xFF\xE0\0\x01\xFF\xC0\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 19, false},    // too short a segment
        {"\xFF\xD8\xFF\xE0\xFF\xFF\xFF\xC0\0\x0B\x08\0\x07\0\x09\x01\x01\x11\0", 19, false},  // too long a one
        {"\xFF\xD8xxxxxxxxxxxxxxx", 17, false},
        {"GIF89a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, false},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int64_t w = 0, h = 0;
        ck_assert_msg(image_size(&w, &h, (const uint8_t *)files[i].bytes, files[i].count) == files[i].known, "file %zu", i);
        if (files[i].known) ck_assert(w == 9 && h == 7);
    }
}
END_TEST

int main(void) {
    return run_suite(suite_of("image_size", (const TTest *const[]){what_the_codec_writes, frames_of_jpeg, NULL}));
}
