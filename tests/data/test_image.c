// Images: decoding and its refusals, the stretch, Pillow's resize byte for byte, crops, writing.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "data/image.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- Pillow ----

// The formula of scripts/golden/pillow_resize.py.
static uint32_t sample(uint32_t x, uint32_t y, uint32_t seed, uint32_t low, uint32_t high) {
    uint32_t h = (x * 73856093u) ^ (y * 19349663u) ^ (seed * 83492791u);
    h = (h ^ (h >> 13)) * 1274126177u;
    uint32_t t = (x * 97 + y * 131 + seed * 17 + ((h >> 16) & 0x3fff)) & 0xffff;
    return low + (uint32_t)((uint64_t)(high - low) * t / 65535);
}

static void image_make(image *out, int kind, int width, int height, uint32_t seed, uint32_t low,
                       uint32_t high) {
    int channels = kind == 3 || kind == 48 ? 3 : 1, depth = kind >= 16 ? 16 : 8;
    *out = (image){.width = width, .height = height, .channels = channels, .depth = depth};
    size_t count = (size_t)width * (size_t)height * (size_t)channels, i = 0;
    ck_assert_int_eq(mem_take(&out->pixels, count, (size_t)depth / 8, "a test image"), STATUS_OK);
    for (uint32_t y = 0; y < (uint32_t)height; y++)
        for (uint32_t x = 0; x < (uint32_t)width; x++)
            for (uint32_t c = 0; c < (uint32_t)channels; c++, i++) {
                uint32_t v = sample(x, y, seed + c, low, high);
                if (depth == 8)
                    ((uint8_t *)out->pixels)[i] = (uint8_t)v;
                else
                    ((uint16_t *)out->pixels)[i] = (uint16_t)v;
            }
}

static uint8_t *bytes_new(size_t count) {
    uint8_t *out;
    ck_assert_int_eq(mem_new(&out, count, "test bytes"), STATUS_OK);
    return out;
}

static uint32_t sum_of(const uint8_t *bytes, int width, int height) {
    return checksum_crc32(0, bytes, (size_t)width * (size_t)height);
}

static void check_resize(const char *line) {
    int width, height, out_width, out_height;
    unsigned seed, want;
    ck_assert_int_eq(sscanf(line, "resize %d %d %u %d %d %x", &width, &height, &seed, &out_width,
                            &out_height, &want),
                     6);
    image in;
    image_make(&in, 1, width, height, seed, 0, 255);
    uint8_t *out = bytes_new((size_t)out_width * (size_t)out_height);
    ck_assert_int_eq(image_resize(out, out_width, out_height, in.pixels, width, height), STATUS_OK);
    ck_assert_msg(sum_of(out, out_width, out_height) == want, "%s", line);
    mem_free(out);
    image_free(&in);
}

// The centre of the stored square must be the centre of the whole, down to the rounding.
static void check_crops(const uint8_t *square, const uint8_t *resized, int width, int height,
                        const unsigned want[3]) {
    static const int sides[3] = {512, 488, 448};
    uint8_t *crop = bytes_new(512 * 512);
    for (int i = 0; i < 3; i++) {
        image_crop(crop, square, 512, sides[i]);
        ck_assert_uint_eq(sum_of(crop, sides[i], sides[i]), want[i]);
        // Python's round: to even at one half.
        int spare_x = width - sides[i], spare_y = height - sides[i];
        int left = spare_x / 2 + (spare_x % 4 == 3), top = spare_y / 2 + (spare_y % 4 == 3);
        for (int y = 0; y < sides[i]; y++)
            ck_assert_mem_eq(crop + y * sides[i],
                             resized + (size_t)(top + y) * (size_t)width + left, (size_t)sides[i]);
    }
    mem_free(crop);
}

static void check_square(const char *line) {
    int kind, width, height, out_width, out_height;
    unsigned seed, low, high, grey_sum, resized_sum, want[3];
    ck_assert_int_eq(sscanf(line, "square %d %d %d %u %u %u %d %d %x %x %x %x %x", &kind, &width,
                            &height, &seed, &low, &high, &out_width, &out_height, &grey_sum,
                            &resized_sum, &want[0], &want[1], &want[2]),
                     13);
    image in;
    image_make(&in, kind, width, height, seed, low, high);
    uint8_t *grey = bytes_new((size_t)width * (size_t)height);
    image_to_grey(grey, &in);
    ck_assert_msg(sum_of(grey, width, height) == grey_sum, "grey: %s", line);
    uint8_t *resized = bytes_new((size_t)out_width * (size_t)out_height);
    ck_assert_int_eq(image_resize(resized, out_width, out_height, grey, width, height), STATUS_OK);
    ck_assert_msg(sum_of(resized, out_width, out_height) == resized_sum, "resized: %s", line);
    uint8_t *square = bytes_new(512 * 512);
    ck_assert_int_eq(image_square(square, &in, 512), STATUS_OK);
    ck_assert_msg(sum_of(square, 512, 512) == want[0], "square: %s", line);
    check_crops(square, resized, out_width, out_height, want);
    mem_free(square);
    mem_free(resized);
    mem_free(grey);
    image_free(&in);
}

START_TEST(pillow_exact) {
    buffer text = {0};
    ck_assert_int_eq(file_read(TEST_DATA "/pillow_resize.txt", 0, &text), STATUS_OK);
    int resizes = 0, squares = 0;
    for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strncmp(line, "resize", 6))
            check_resize(line), resizes++;
        else
            check_square(line), squares++;
    }
    ck_assert_int_ge(resizes, 17);
    ck_assert_int_ge(squares, 35);
    buffer_free(&text);
}
END_TEST

// Other sides than 512, against the plain way: resize all, crop then.
START_TEST(square_is_resize_then_crop) {
    static const int cases[][3] = {
        {31, 40, 16}, {40, 31, 17}, {16, 90, 16}, {9, 300, 33}, {5, 5, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int w = cases[i][0], h = cases[i][1], side = cases[i][2], shorter = w < h ? w : h;
        int out_w = (int)((double)(side * w) / shorter),
            out_h = (int)((double)(side * h) / shorter);
        image in;
        image_make(&in, 1, w, h, 5, 20, 120);
        uint8_t *grey = bytes_new((size_t)w * (size_t)h),
                *square = bytes_new((size_t)(side * side));
        uint8_t *all = bytes_new((size_t)out_w * (size_t)out_h);
        image_to_grey(grey, &in);
        ck_assert_int_eq(image_resize(all, out_w, out_h, grey, w, h), STATUS_OK);
        ck_assert_int_eq(image_square(square, &in, side), STATUS_OK);
        int x = (out_w - side) / 2 + ((out_w - side) % 4 == 3);
        int y = (out_h - side) / 2 + ((out_h - side) % 4 == 3);
        for (int row = 0; row < side; row++)
            ck_assert_mem_eq(square + row * side, all + (y + row) * out_w + x, (size_t)side);
        mem_free(grey), mem_free(square), mem_free(all), image_free(&in);
    }
}
END_TEST

// Every pair of bounds: the double formula equals the exact quotient rounded down.
START_TEST(stretch_is_exact) {
    uint8_t out[256], in[256];
    for (int low = 0; low < 256; low++)
        for (int high = low; high < 256; high++) {
            for (int v = 0; v < 256; v++) in[v] = (uint8_t)(v < low ? low : v > high ? high : v);
            image_to_grey(out, &(image){256, 1, 1, 8, in, 0});
            for (int v = low; v <= high; v++) {
                int want = high > low ? 255 * (v - low) / (high - low) : 0;
                ck_assert_int_eq(out[v], want);
            }
        }
}
END_TEST

// The same through image_square, which stretches on another way: at its own size a picture of 16 x 16 keeps
// its pixels.
START_TEST(stretch_of_squares_is_exact) {
    uint8_t in[256], out[256];
    for (int low = 0; low < 256; low++)
        for (int high = low; high < 256; high++) {
            for (int v = 0; v < 256; v++) in[v] = (uint8_t)(v < low ? low : v > high ? high : v);
            ck_assert_int_eq(image_square(out, &(image){16, 16, 1, 8, in, 0}, 16), STATUS_OK);
            for (int v = low; v <= high; v++)
                ck_assert_int_eq(out[v], high > low ? 255 * (v - low) / (high - low) : 0);
        }
}
END_TEST

// ---- files ----

static char folder[] = "/tmp/test_image.XXXXXX";

static const char *in_folder(const char *name) {
    static char path[PATH_SIZE];
    ck_assert_int_eq(path_join(path, sizeof path, folder, name), STATUS_OK);
    return path;
}

static void grey_write(const char *path, int width, int height, bool png) {
    image in;
    image_make(&in, 1, width, height, 3, 0, 255);
    status rc = png ? image_write_png(path, in.pixels, width, height)
                    : image_write_jpeg(path, in.pixels, width, height, 90);
    ck_assert_msg(rc == STATUS_OK, "%s", status_text());
    image_free(&in);
}

START_TEST(png_round_trip) {
    static const int sizes[][2] = {{1, 1}, {7, 3}, {300, 257}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int width = sizes[i][0], height = sizes[i][1];
        const char *path = in_folder("round.png");
        image in, out;
        image_make(&in, 1, width, height, 3, 0, 255);
        grey_write(path, width, height, true);
        ck_assert_int_eq(image_read(&out, path), STATUS_OK);
        ck_assert(out.width == width && out.height == height && out.channels == 1);
        ck_assert_int_eq(out.depth, 8);
        ck_assert_mem_eq(out.pixels, in.pixels, (size_t)width * (size_t)height);
        image_free(&in), image_free(&out);
    }
}
END_TEST

START_TEST(jpeg_round_trip) {
    uint8_t flat[40 * 50];
    for (int i = 0; i < 40 * 50; i++) flat[i] = (uint8_t)(i % 40 * 5);
    const char *path = in_folder("round.jpg");
    ck_assert_int_eq(image_write_jpeg(path, flat, 40, 50, 95), STATUS_OK);
    image out;
    ck_assert_int_eq(image_read(&out, path), STATUS_OK);
    ck_assert(out.width == 40 && out.height == 50 && out.channels == 1 && out.depth == 8);
    for (int i = 0; i < 40 * 50; i++)
        ck_assert_int_le(abs(flat[i] - ((uint8_t *)out.pixels)[i]), 4);
    image_free(&out);
}
END_TEST

START_TEST(writers_refuse) {
    uint8_t one = 7;
    ck_assert_int_eq(image_write_png(in_folder("none/x.png"), &one, 1, 1), STATUS_IO);
    ck_assert_int_eq(image_write_jpeg(in_folder("none/x.jpg"), &one, 1, 1, 90), STATUS_IO);
    ck_assert_int_eq(image_write_png(in_folder("x.png"), &one, 0, 1), STATUS_FORMAT);
    ck_assert_int_eq(image_write_jpeg(in_folder("x.jpg"), &one, 1, IMAGE_SIDE + 1, 90),
                     STATUS_FORMAT);
    ck_assert(!file_exists(in_folder("x.png")));
}
END_TEST

// Every file cut short is refused, and every allocation that fails is reported; neither leaks.
static void check_damage(const char *path) {
    buffer bytes = {0};
    image out;
    ck_assert_int_eq(file_read(path, 0, &bytes), STATUS_OK);
    const uint8_t *data = (const uint8_t *)bytes.data;
    for (size_t cut = 0; cut < bytes.length; cut += cut < 700 ? 1 : 97) {
        uint8_t *part = bytes_new(cut + 1); // of its own, so that reading beyond it is seen
        memcpy(part, data, cut);
        status rc = image_decode(&out, part, cut, "cut");
        // The last two bytes of a PNG are part of a checksum, those of a JPEG its end marker.
        ck_assert_msg(rc == STATUS_FORMAT, "%s cut at %zu of %zu", path, cut, bytes.length);
        ck_assert_ptr_null(out.pixels);
        ck_assert_ptr_nonnull(strstr(status_text(), "cut"));
        mem_free(part);
    }
    for (int64_t n = 1;; n++) {
        mem_fail_at(n);
        status rc = image_read(&out, path);
        mem_fail_at(0);
        if (!rc) break;
        ck_assert_int_eq(rc, STATUS_MEMORY);
        ck_assert_ptr_null(out.pixels);
    }
    image_free(&out);
    buffer_free(&bytes);
}

START_TEST(cut_short) {
    grey_write(in_folder("whole.jpg"), 61, 47, false);
    check_damage(in_folder("whole.jpg"));
    grey_write(in_folder("whole.png"), 61, 47, true);
    check_damage(in_folder("whole.png"));
}
END_TEST

START_TEST(not_images) {
    image out;
    ck_assert_int_eq(image_decode(&out, (const uint8_t *)"", 0, "nothing"), STATUS_FORMAT);
    ck_assert_int_eq(image_decode(&out, (const uint8_t *)"GIF89a", 6, "gif"), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "gif"));
    ck_assert_int_eq(image_read(&out, in_folder("missing.jpg")), STATUS_IO);
    // The suffix decides nothing.
    grey_write(in_folder("named.jpg"), 5, 5, true);
    ck_assert_int_eq(image_read(&out, in_folder("named.jpg")), STATUS_OK);
    image_free(&out);
}
END_TEST

// Sizes that lie: a header that claims more pixels than its bytes can hold, or too many.
START_TEST(sizes_that_lie) {
    buffer bytes = {0};
    image out;
    grey_write(in_folder("lie.jpg"), 16, 16, false);
    ck_assert_int_eq(file_read(in_folder("lie.jpg"), 0, &bytes), STATUS_OK);
    uint8_t *data = (uint8_t *)bytes.data, *frame = memmem(data, bytes.length, "\xff\xc0", 2);
    ck_assert_ptr_nonnull(frame);
    static const uint8_t sizes[][4] = {{0x7f, 0, 0x3f, 0}, {0xff, 0, 0, 1}, {0x80, 0, 0x80, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memcpy(frame + 5, sizes[i], 4);
        ck_assert_int_eq(image_decode(&out, data, bytes.length, "lie"), STATUS_FORMAT);
    }
    ck_assert_ptr_nonnull(strstr(status_text(), "32768 x 32768"));
    buffer_free(&bytes);
}
END_TEST

// ---- small files written by hand: formats that the writers do not make ----

static void chunk(buffer *out, const char *type, const uint8_t *data, size_t count) {
    uint8_t size[4] = {(uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8),
                       (uint8_t)count};
    uint32_t crc = checksum_crc32(0, type, 4);
    crc = checksum_crc32(crc, data, count);
    uint8_t sum[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                      (uint8_t)crc};
    buffer_append(out, size, 4);
    buffer_append(out, type, 4);
    buffer_append(out, data, count);
    buffer_append(out, sum, 4);
}

static uint32_t adler(const uint8_t *data, size_t count) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < count; i++) a = (a + data[i]) % 65521, b = (b + a) % 65521;
    return b << 16 | a;
}

// A PNG whose rows (filter bytes included) are RAW, stored without compression.
static void png_make(buffer *out, int width, int height, int depth, int type, const uint8_t *raw,
                     size_t count, const uint8_t *palette, size_t palette_size) {
    uint8_t header[13] = {
        0, 0, 0, (uint8_t)width, 0, 0, 0, (uint8_t)height, (uint8_t)depth, (uint8_t)type};
    uint8_t stream[512] = {0x78, 1, 1, (uint8_t)count, 0, (uint8_t)~count, 0xff};
    uint32_t sum = adler(raw, count);
    memcpy(stream + 7, raw, count);
    for (int i = 0; i < 4; i++) stream[7 + count + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
    buffer_append(out, "\x89PNG\r\n\x1a\n", 8);
    chunk(out, "IHDR", header, sizeof header);
    if (palette) chunk(out, "PLTE", palette, palette_size);
    chunk(out, "IDAT", stream, count + 11);
    chunk(out, "IEND", NULL, 0);
}

typedef struct png_case {
    const char *what;
    int depth, type;
    uint8_t raw[24];
    size_t count;
    int channels, out_depth;
    uint16_t want[6];
} png_case;

// All of them 2 x 1.
static const png_case png_cases[] = {
    {"1-bit grey", 1, 0, {0, 0x40}, 2, 1, 8, {0, 255}},
    {"2-bit grey", 2, 0, {0, 0x60}, 2, 1, 8, {85, 170}},
    {"4-bit grey", 4, 0, {0, 0x3f}, 2, 1, 8, {51, 255}},
    {"8-bit grey", 8, 0, {0, 9, 200}, 3, 1, 8, {9, 200}},
    {"16-bit grey", 16, 0, {0, 0x12, 0x34, 0xab, 0xcd}, 5, 1, 16, {0x1234, 0xabcd}},
    {"grey, alpha", 8, 4, {0, 9, 1, 200, 2}, 5, 1, 8, {9, 200}},
    {"RGB", 8, 2, {0, 1, 2, 3, 4, 5, 6}, 7, 3, 8, {1, 2, 3, 4, 5, 6}},
    {"RGB, alpha", 8, 6, {0, 1, 2, 3, 9, 4, 5, 6, 9}, 9, 3, 8, {1, 2, 3, 4, 5, 6}},
    {"palette", 4, 3, {0, 0x10}, 2, 3, 8, {40, 50, 60, 10, 20, 30}},
    {"16-bit RGB",
     16,
     2,
     {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
     13,
     3,
     16,
     {0x102, 0x304, 0x506, 0x708, 0x90a, 0xb0c}},
};

START_TEST(png_formats) {
    static const uint8_t palette[] = {10, 20, 30, 40, 50, 60};
    for (size_t i = 0; i < sizeof png_cases / sizeof *png_cases; i++) {
        const png_case *c = &png_cases[i];
        buffer bytes = {0};
        image out;
        png_make(&bytes, 2, 1, c->depth, c->type, c->raw, c->count, c->type == 3 ? palette : NULL,
                 6);
        status rc = image_decode(&out, (const uint8_t *)bytes.data, bytes.length, c->what);
        ck_assert_msg(rc == STATUS_OK, "%s", status_text());
        ck_assert_msg(out.channels == c->channels && out.depth == c->out_depth, "%s", c->what);
        for (int k = 0; k < 2 * c->channels; k++) {
            int got = out.depth == 8 ? ((uint8_t *)out.pixels)[k] : ((uint16_t *)out.pixels)[k];
            ck_assert_msg(got == c->want[k], "%s, sample %d: %d", c->what, k, got);
        }
        image_free(&out);
        bytes.data[bytes.length - 20] ^= 1; // inside the pixels or their checksum
        rc = image_decode(&out, (const uint8_t *)bytes.data, bytes.length, c->what);
        ck_assert_msg(rc == STATUS_FORMAT, "%s: a flipped bit passed", c->what);
        buffer_free(&bytes);
    }
}
END_TEST

// A CMYK JPEG is a grey one whose frame is made to name four components.
START_TEST(jpeg_components) {
    static const uint8_t start[] = {0xff, 0xd8, 0xff, 0xc0, 0, 20,   8, 0, 8,    0,    8,
                                    4,    1,    0x11, 0,    2, 0x11, 0, 3, 0x11, 0,    4,
                                    0x11, 0,    0xff, 0xda, 0, 14,   4, 1, 0,    2,    0,
                                    3,    0,    4,    0,    0, 63,   0, 0, 0,    0xff, 0xd9};
    image out;
    ck_assert_int_eq(image_decode(&out, start, sizeof start, "ink"), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(status_text(), "CMYK"));
}
END_TEST

START_TEST(resize_without_memory) {
    uint8_t in[30 * 20], out[16 * 16], want[16 * 16];
    for (int i = 0; i < 600; i++) in[i] = (uint8_t)(i * 7);
    image source = {30, 20, 1, 8, in, 0};
    ck_assert_int_eq(image_square(want, &source, 16), STATUS_OK);
    int64_t n = 1;
    for (;; n++) {
        mem_fail_at(n);
        status rc = image_square(out, &source, 16);
        mem_fail_at(0);
        if (!rc) break;
        ck_assert_int_eq(rc, STATUS_MEMORY);
    }
    ck_assert_int_gt(n, 5);
    ck_assert_mem_eq(out, want, sizeof want);
}
END_TEST

int main(void) {
    if (!mkdtemp(folder)) return 1;
    TCase *pixels = tcase_create("pixels"), *files = tcase_create("files");
    tcase_set_timeout(pixels, 300);
    tcase_add_test(pixels, pillow_exact);
    tcase_add_test(pixels, square_is_resize_then_crop);
    tcase_add_test(pixels, stretch_is_exact);
    tcase_add_test(pixels, stretch_of_squares_is_exact);
    tcase_add_test(pixels, resize_without_memory);
    tcase_add_test(files, png_round_trip);
    tcase_add_test(files, jpeg_round_trip);
    tcase_add_test(files, writers_refuse);
    tcase_add_test(files, cut_short);
    tcase_add_test(files, not_images);
    tcase_add_test(files, sizes_that_lie);
    tcase_add_test(files, png_formats);
    tcase_add_test(files, jpeg_components);
    Suite *suite = suite_create("image");
    suite_add_tcase(suite, pixels);
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    path_remove(folder);
    return failed > 0;
}
