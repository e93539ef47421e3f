// JPEG and PNG through libjpeg and libpng. See image_codec.h.
//
// Both libraries report errors by a jump. Everything that must survive one lives in a struct
// outside the function that calls setjmp, and is released by that function's caller.
#include "data/image_codec.h"

#include "core/files/fs.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

enum {
    FILE_LIMIT = 1 << 30,
    TEXT = JMSG_LENGTH_MAX > 256 ? JMSG_LENGTH_MAX : 256,
    SCANS = 512,         // of a progressive JPEG: more only serve to keep a reader busy
    PIXELS_A_BYTE = 512, // Huffman codes spend at least one bit on a block of 64
    INFLATE_RATIO = 1032 // deflate's greatest
};

static status check_size(const char *name, int64_t width, int64_t height) {
    if (width > 0 && height > 0 && width <= IMAGE_SIDE && height <= IMAGE_SIDE &&
        width * height <= IMAGE_PIXELS)
        return STATUS_OK;
    return status_fail(STATUS_FORMAT,
                       "%s: %lld x %lld pixels; 1 to %d a side and %d million in all can be read",
                       name, (long long)width, (long long)height, IMAGE_SIDE, IMAGE_PIXELS >> 20);
}

static status too_small(const char *name, int width, int height, size_t count) {
    return status_fail(STATUS_FORMAT,
                       "%s: %zu bytes cannot hold %d x %d pixels; the file is damaged or cut short",
                       name, count, width, height);
}

// Takes the sizes and memory for the pixels: what OUT holds already, if it is enough.
static status pixels_new(image *out, int width, int height, int channels, int depth) {
    size_t samples = (size_t)width * (size_t)height * (size_t)channels, sample = (size_t)depth / 8;
    void *pixels = out->pixels;
    size_t capacity = out->capacity; // the size of an image cannot overflow: see check_size
    if (capacity < samples * sample) {
        mem_free(pixels);
        capacity = samples * sample;
        status rc = mem_take(&pixels, samples, sample, "an image");
        if (rc) {
            *out = (image){0};
            return rc;
        }
    }
    *out = (image){width, height, channels, depth, pixels, capacity};
    return STATUS_OK;
}

status image_take(image *out, const char *name, int width, int height, int channels, int depth) {
    status rc = check_size(name, width, height);
    return rc ? rc : pixels_new(out, width, height, channels, depth);
}

void image_free(image *i) {
    mem_free(i->pixels);
    *i = (image){0};
}

// ---- JPEG in ----

typedef struct jpeg_reader {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    char text[TEXT];
    const char *name;
    const uint8_t *bytes;
    size_t count;
    image *out;
    status rc;
} jpeg_reader;

static void jpeg_stop(j_common_ptr info) {
    jpeg_reader *r = info->client_data;
    info->err->format_message(info, r->text);
    longjmp(r->jump, 1);
}

// Level -1 is a warning: the data are damaged and the library would go on with invented pixels.
static void jpeg_message(j_common_ptr info, int level) {
    if (level < 0) jpeg_stop(info);
}

static void jpeg_scan(j_common_ptr info) {
    jpeg_reader *r = info->client_data;
    if (r->info.input_scan_number <= SCANS) return;
    snprintf(r->text, sizeof r->text, "more than %d scans", SCANS);
    longjmp(r->jump, 1);
}

static status jpeg_check(jpeg_reader *r) {
    struct jpeg_decompress_struct *info = &r->info;
    status rc = check_size(r->name, info->image_width, info->image_height);
    if (rc) return rc;
    int width = (int)info->image_width, height = (int)info->image_height;
    if ((int64_t)width * height / PIXELS_A_BYTE > (int64_t)r->count && !info->arith_code)
        return too_small(r->name, width, height, r->count);
    bool grey = info->jpeg_color_space == JCS_GRAYSCALE;
    if (!grey && info->jpeg_color_space != JCS_YCbCr && info->jpeg_color_space != JCS_RGB)
        return status_fail(STATUS_FORMAT,
                           "%s: a JPEG with %d components (CMYK?); only grey and RGB can be read",
                           r->name, info->num_components);
    info->out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
    info->dct_method = JDCT_ISLOW;
    return pixels_new(r->out, width, height, grey ? 1 : 3, 8);
}

static void jpeg_rows(jpeg_reader *r) {
    size_t stride = (size_t)r->out->width * (size_t)r->out->channels;
    while (r->info.output_scanline < r->info.output_height) {
        JSAMPROW row = (uint8_t *)r->out->pixels + r->info.output_scanline * stride;
        jpeg_read_scanlines(&r->info, &row, 1);
    }
}

static void jpeg_run(jpeg_reader *r) {
    if (setjmp(r->jump)) {
        r->rc = status_fail(STATUS_FORMAT, "%s: not a whole JPEG: %s", r->name, r->text);
        return;
    }
    jpeg_create_decompress(&r->info);
    r->info.progress = &r->progress;
    jpeg_mem_src(&r->info, r->bytes, (unsigned long)r->count);
    jpeg_read_header(&r->info, TRUE);
    r->rc = jpeg_check(r);
    if (r->rc) return;
    jpeg_start_decompress(&r->info);
    jpeg_rows(r);
    jpeg_finish_decompress(&r->info);
}

static status jpeg_decode(image *out, const uint8_t *bytes, size_t count, const char *name) {
    jpeg_reader *r;
    status rc = mem_new(&r, 1, "a JPEG reader");
    if (rc) return rc;
    r->name = name;
    r->bytes = bytes;
    r->count = count;
    r->out = out;
    r->info.err = jpeg_std_error(&r->errors);
    r->info.client_data = r;
    r->errors.error_exit = jpeg_stop;
    r->errors.emit_message = jpeg_message;
    r->progress.progress_monitor = jpeg_scan;
    jpeg_run(r);
    jpeg_destroy_decompress(&r->info);
    rc = r->rc;
    mem_free(r);
    return rc;
}

// ---- PNG in ----

typedef struct png_reader {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    char text[TEXT];
    const char *name;
    const uint8_t *bytes;
    size_t count, used;
    image *out;
    status rc;
} png_reader;

static void png_stop(png_structp png, const char *text) {
    png_reader *r = png_get_error_ptr(png);
    snprintf(r->text, sizeof r->text, "%s", text);
    longjmp(r->jump, 1);
}

// Warnings concern what surrounds the pixels (colour profiles, text); damaged pixels are errors.
static void png_ignore(png_structp png, const char *text) {
    (void)png, (void)text;
}

static void png_take(png_structp png, png_bytep to, size_t count) {
    png_reader *r = png_get_io_ptr(png);
    if (count > r->count - r->used) png_error(png, "the file ends too early");
    memcpy(to, r->bytes + r->used, count);
    r->used += count;
}

static void png_transforms(png_structp png, png_infop info) {
    png_byte type = png_get_color_type(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    const uint16_t one = 1;
    if (*(const uint8_t *)&one) png_set_swap(png);
}

static status png_check(png_reader *r) {
    status rc = check_size(r->name, png_get_image_width(r->png, r->info),
                           png_get_image_height(r->png, r->info));
    if (rc) return rc;
    int width = (int)png_get_image_width(r->png, r->info);
    int height = (int)png_get_image_height(r->png, r->info);
    size_t packed = png_get_rowbytes(r->png, r->info) * (size_t)height;
    if (packed / INFLATE_RATIO > r->count) return too_small(r->name, width, height, r->count);
    png_transforms(r->png, r->info);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    rc = pixels_new(r->out, width, height, png_get_channels(r->png, r->info),
                    png_get_bit_depth(r->png, r->info));
    size_t stride = png_get_rowbytes(r->png, r->info);
    for (int pass = 0; pass < passes && !rc; pass++)
        for (int y = 0; y < height; y++)
            png_read_row(r->png, (uint8_t *)r->out->pixels + (size_t)y * stride, NULL);
    return rc;
}

static void png_run(png_reader *r) {
    if (setjmp(r->jump)) {
        r->rc = status_fail(STATUS_FORMAT, "%s: not a whole PNG: %s", r->name, r->text);
        return;
    }
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, png_stop, png_ignore);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->info) {
        r->rc = status_fail(STATUS_MEMORY, "%s: no memory for a PNG reader", r->name);
        return;
    }
    png_set_read_fn(r->png, r, png_take);
    png_set_user_limits(r->png, IMAGE_SIDE, IMAGE_SIDE);
    png_read_info(r->png, r->info);
    r->rc = png_check(r);
    if (!r->rc) png_read_end(r->png, NULL);
}

static status png_decode(image *out, const uint8_t *bytes, size_t count, const char *name) {
    png_reader *r;
    status rc = mem_new(&r, 1, "a PNG reader");
    if (rc) return rc;
    r->name = name;
    r->bytes = bytes;
    r->count = count;
    r->out = out;
    png_run(r);
    png_destroy_read_struct(&r->png, &r->info, NULL);
    rc = r->rc;
    mem_free(r);
    return rc;
}

// ---- both ----

static bool is_jpeg(const uint8_t *bytes, size_t count) {
    static const uint8_t mark[] = {0xff, 0xd8, 0xff};
    return count >= sizeof mark && !memcmp(bytes, mark, sizeof mark);
}

static bool is_png(const uint8_t *bytes, size_t count) {
    static const uint8_t mark[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return count >= sizeof mark && !memcmp(bytes, mark, sizeof mark);
}

bool image_is_known(const uint8_t *bytes, size_t count) {
    return is_jpeg(bytes, count) || is_png(bytes, count);
}

status image_decode_again(image *out, const uint8_t *bytes, size_t count, const char *name) {
    status rc;
    if (is_jpeg(bytes, count))
        rc = jpeg_decode(out, bytes, count, name);
    else if (is_png(bytes, count))
        rc = png_decode(out, bytes, count, name);
    else if (!count)
        rc = status_fail(STATUS_FORMAT, "%s: the file is empty", name);
    else
        rc = status_fail(STATUS_FORMAT, "%s: neither a JPEG nor a PNG file", name);
    if (rc) image_free(out);
    return rc;
}

status image_decode(image *out, const uint8_t *bytes, size_t count, const char *name) {
    *out = (image){0};
    return image_decode_again(out, bytes, count, name);
}

status image_read(image *out, const char *path) {
    buffer bytes = {0};
    *out = (image){0};
    status rc = file_read(path, FILE_LIMIT, &bytes);
    if (!rc) rc = image_decode(out, (const uint8_t *)bytes.data, bytes.length, path);
    buffer_free(&bytes);
    return rc;
}

// ---- JPEG out ----

typedef struct jpeg_writer {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr to;
    jmp_buf jump;
    char text[TEXT];
    buffer bytes;
    uint8_t block[1 << 16];
    bool failed;
} jpeg_writer;

static void jpeg_write_stop(j_common_ptr info) {
    jpeg_writer *w = info->client_data;
    info->err->format_message(info, w->text);
    longjmp(w->jump, 1);
}

static void block_begin(j_compress_ptr info) {
    jpeg_writer *w = info->client_data;
    w->to.next_output_byte = w->block;
    w->to.free_in_buffer = sizeof w->block;
}

static boolean block_full(j_compress_ptr info) {
    jpeg_writer *w = info->client_data;
    buffer_append(&w->bytes, w->block, sizeof w->block);
    block_begin(info);
    return TRUE;
}

static void block_end(j_compress_ptr info) {
    jpeg_writer *w = info->client_data;
    buffer_append(&w->bytes, w->block, sizeof w->block - w->to.free_in_buffer);
}

static void jpeg_encode(jpeg_writer *w, const uint8_t *grey, int width, int height, int quality) {
    if (setjmp(w->jump)) {
        w->failed = true;
        return;
    }
    jpeg_create_compress(&w->info);
    w->info.dest = &w->to;
    w->info.image_width = (JDIMENSION)width;
    w->info.image_height = (JDIMENSION)height;
    w->info.input_components = 1;
    w->info.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&w->info);
    jpeg_set_quality(&w->info, quality, TRUE);
    w->info.dct_method = JDCT_ISLOW;
    jpeg_start_compress(&w->info, TRUE);
    while (w->info.next_scanline < w->info.image_height) {
        // libjpeg takes rows without const but only reads them.
        JSAMPROW row = (JSAMPROW)(uintptr_t)(grey + (size_t)w->info.next_scanline * (size_t)width);
        jpeg_write_scanlines(&w->info, &row, 1);
    }
    jpeg_finish_compress(&w->info);
}

status image_encode_jpeg(buffer *out, const uint8_t *grey, int width, int height, int quality, const char *name) {
    if (quality < 1 || quality > 100) die("image_encode_jpeg: quality %d", quality);
    jpeg_writer *w;
    status rc = check_size(name, width, height);
    if (!rc) rc = mem_new(&w, 1, "a JPEG writer");
    if (rc) return rc;
    w->info.err = jpeg_std_error(&w->errors);
    w->info.client_data = w;
    w->errors.error_exit = jpeg_write_stop;
    w->to = (struct jpeg_destination_mgr){.init_destination = block_begin,
                                          .empty_output_buffer = block_full,
                                          .term_destination = block_end};
    jpeg_encode(w, grey, width, height, quality);
    jpeg_destroy_compress(&w->info);
    rc = w->bytes.failed;
    if (w->failed) rc = status_fail(STATUS_FORMAT, "%s: cannot make a JPEG: %s", name, w->text);
    if (!rc) buffer_append(out, w->bytes.data, w->bytes.length);
    if (!rc) rc = out->failed;
    buffer_free(&w->bytes);
    mem_free(w);
    return rc;
}

status image_write_jpeg(const char *path, const uint8_t *grey, int width, int height, int quality) {
    buffer bytes = {0};
    status rc = image_encode_jpeg(&bytes, grey, width, height, quality, path);
    if (!rc) rc = file_write(path, bytes.data, bytes.length);
    buffer_free(&bytes);
    return rc;
}

// ---- PNG out ----

typedef struct png_writer {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    char text[TEXT];
    buffer bytes;
    status rc;
} png_writer;

static void png_write_stop(png_structp png, const char *text) {
    png_writer *w = png_get_error_ptr(png);
    snprintf(w->text, sizeof w->text, "%s", text);
    longjmp(w->jump, 1);
}

static void png_put(png_structp png, png_bytep from, size_t count) {
    png_writer *w = png_get_io_ptr(png);
    buffer_append(&w->bytes, from, count);
}

static void png_flush_nothing(png_structp png) {
    (void)png;
}

static void png_encode(png_writer *w, const char *path, const uint8_t *grey, int width,
                       int height) {
    if (setjmp(w->jump)) {
        w->rc = status_fail(STATUS_FORMAT, "%s: cannot make a PNG: %s", path, w->text);
        return;
    }
    w->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w, png_write_stop, png_ignore);
    if (w->png) w->info = png_create_info_struct(w->png);
    if (!w->info) {
        w->rc = status_fail(STATUS_MEMORY, "%s: no memory for a PNG writer", path);
        return;
    }
    png_set_write_fn(w->png, w, png_put, png_flush_nothing);
    png_set_IHDR(w->png, w->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_GRAY,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    for (int y = 0; y < height; y++) png_write_row(w->png, grey + (size_t)y * (size_t)width);
    png_write_end(w->png, w->info);
    w->rc = w->bytes.failed;
}

status image_write_png(const char *path, const uint8_t *grey, int width, int height) {
    png_writer *w;
    status rc = check_size(path, width, height);
    if (!rc) rc = mem_new(&w, 1, "a PNG writer");
    if (rc) return rc;
    png_encode(w, path, grey, width, height);
    png_destroy_write_struct(&w->png, &w->info);
    rc = w->rc;
    if (!rc) rc = file_write(path, w->bytes.data, w->bytes.length);
    buffer_free(&w->bytes);
    mem_free(w);
    return rc;
}

library_version image_jpeg_version(void) {
    struct jpeg_error_mgr errors;
    char built[48];
    jpeg_std_error(&errors); // its table of messages holds the library's own version: "6b  27-Mar-1998"
    snprintf(built, sizeof built, "%d%c", JPEG_LIB_VERSION / 10, 'a' + JPEG_LIB_VERSION % 10 - 1);
    if (JPEG_LIB_VERSION % 10 == 0) built[strlen(built) - 1] = 0;
    library_version v = version_texts(errors.jpeg_message_table[JMSG_VERSION], built);
    v.found[strcspn(v.found, " ")] = 0;
    return v;
}

library_version image_png_version(void) {
    return version_texts(png_get_libpng_ver(NULL), PNG_LIBPNG_VER_STRING);
}
