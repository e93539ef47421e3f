#include "tests/data/helper_source.h"
#include "core/rng.h"
#include "data/image_codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[] = "/tmp/radialog-data-XXXXXX";

int run_in_folder(Suite *suite) {
    if (!mkdtemp(folder)) {
        perror(folder);
        return EXIT_FAILURE;
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    path_remove(folder);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

const char *at(const char *format, ...) {
    static char path[8][PATH_SIZE];
    static int next;
    char name[PATH_SIZE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    next = (next + 1) % 8;
    ck_assert_int_eq(path_join(path[next], PATH_SIZE, folder, name), STATUS_OK);
    return path[next];
}

void write_text(const char *path, const char *text) {
    ck_assert_msg(file_write(path, text, strlen(text)) == STATUS_OK, "%s", status_text());
}

buffer read_whole(const char *path) {
    buffer b = {0};
    ck_assert_msg(file_read(path, 0, &b) == STATUS_OK, "%s", status_text());
    return b;
}

void expect_same_folders(const char *a, const char *b) {
    names list_a, list_b;
    char path[2][PATH_SIZE];
    ck_assert_int_eq(folder_list(a, &list_a), STATUS_OK);
    ck_assert_int_eq(folder_list(b, &list_b), STATUS_OK);
    ck_assert_uint_gt(list_a.count, 0);
    ck_assert_uint_eq(list_a.count, list_b.count);
    for (size_t i = 0; i < list_a.count; i++) {
        ck_assert_str_eq(list_a.name[i], list_b.name[i]);
        ck_assert_int_eq(path_join(path[0], PATH_SIZE, a, list_a.name[i]), STATUS_OK);
        ck_assert_int_eq(path_join(path[1], PATH_SIZE, b, list_a.name[i]), STATUS_OK);
        buffer x = read_whole(path[0]), y = read_whole(path[1]);
        ck_assert_msg(x.length == y.length && !memcmp(x.data, y.data, x.length), "%s and %s differ",
                      path[0], path[1]);
        buffer_free(&x);
        buffer_free(&y);
    }
    names_free(&list_a);
    names_free(&list_b);
}

int picture_width(int i) {
    return 20 + (i * 7) % 31;
}

int picture_height(int i) {
    return 20 + (i * 11) % 37;
}

// Smooth enough that a resize keeps it apart from the others, with the whole range of bytes.
void picture(uint8_t *out, int i, int width, int height) {
    rng_key key = {7, rng_site("picture"), (uint32_t)i};
    uint32_t corner[4];
    for (int k = 0; k < 4; k++) corner[k] = rng_below(key, 0, (uint64_t)k, 256);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint32_t left = (uint32_t)(width - 1 - x), right = (uint32_t)x;
            uint32_t up = (uint32_t)(height - 1 - y), down = (uint32_t)y;
            uint32_t sum = up * (left * corner[0] + right * corner[1]) +
                           down * (left * corner[2] + right * corner[3]);
            uint32_t noise = rng_below(key, 1, (uint64_t)(y * width + x), 32);
            out[y * width + x] =
                (uint8_t)(sum * 7 / 8 / (uint32_t)((width - 1) * (height - 1)) + noise);
        }
    out[0] = 0;
    out[width * height - 1] = 255;
}

void source_write(const char *root, int count) {
    uint8_t pixels[64 * 64];
    char name[32];
    buffer table = {0};
    ck_assert_int_eq(folder_make(root), STATUS_OK);
    buffer_text(&table, "image,report,patient");
    for (int c = 0; c < CLASS_COUNT; c++) buffer_print(&table, ",%s", class_names[c]);
    buffer_text(&table, "\n");
    for (int i = 0; i < count; i++) {
        char path[PATH_SIZE];
        snprintf(name, sizeof name, "i%d.png", i);
        ck_assert_int_eq(path_join(path, sizeof path, root, name), STATUS_OK);
        picture(pixels, i, picture_width(i), picture_height(i));
        ck_assert_int_eq(image_write_png(path, pixels, picture_width(i), picture_height(i)), STATUS_OK);
        buffer_print(&table, "%s,\"INDICATION: test.\n\n%s: Text of %d.\n\nIMPRESSION: End %d.\",p%d",
                     name, i % 7 == 6 ? "TECHNIQUE" : "FINDINGS", i, i, i / 2);
        for (int c = 0; c < CLASS_COUNT; c++) buffer_text(&table, c == i % CLASS_COUNT ? ",1" : ",0");
        buffer_text(&table, "\n");
    }
    char path[PATH_SIZE];
    ck_assert_int_eq(path_join(path, sizeof path, root, "data.csv"), STATUS_OK);
    write_text(path, table.data);
    buffer_free(&table);
}

ingest_options folder_options(const char *root, const char *out) {
    return (ingest_options){.source = INGEST_FOLDER,
                            .root = root,
                            .out = out,
                            .compression = INGEST_DEFLATE,
                            .threads = 2,
                            .seed = 42};
}

ingest_summary expect_ingest(const ingest_options *options, status expected) {
    ingest_summary summary;
    status rc = ingest_run(&summary, options);
    ck_assert_msg(rc == expected, "%s instead of %s: %s", status_name(rc), status_name(expected),
                  status_text());
    return summary;
}
