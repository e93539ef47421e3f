#include "tests/data/helper_shard.h"
#include "core/checksum.h"
#include "core/rng.h"

#include <stdio.h>
#include <string.h>

const char plan_of_tests[PLAN_SIZE] = "0123456789abcdef";

void expect_failed(status rc, status expected, const char *place, const char *says) {
    ck_assert_msg(rc == expected, "%s instead of %s: %s", status_name(rc), status_name(expected),
                  status_text());
    ck_assert_msg(strstr(status_text(), place) != NULL, "'%s' does not name %s", status_text(),
                  place);
    ck_assert_msg(strstr(status_text(), says) != NULL, "'%s' does not say '%s'", status_text(),
                  says);
}

void stored_picture(uint8_t *out, int i) {
    rng_key key = {3, rng_site("stored"), (uint32_t)i};
    // Runs of random values: small when compressed, and hardly any of its bytes say nothing.
    for (int k = 0; k < STORED_PIXELS; k++)
        out[k] = (uint8_t)rng_below(key, 0, (uint64_t)k / 64, 256);
}

const char *record_id_of(char text[64], int i, record_id kind) {
    // The order of ids is not that of the records.
    if (kind == ID_DICOM) snprintf(text, 64, "d%03d-%d", i * 37 % 101, i);
    if (kind == ID_STUDY) snprintf(text, 64, "s%d", 50000000 + i);
    if (kind == ID_SUBJECT) snprintf(text, 64, "p%d", i / 2);
    if (kind == ID_VIEW) snprintf(text, 64, "%s", i % 2 ? "AP" : "");
    return text;
}

const char *record_text_of(int i, record_text kind) {
    static const char *const texts[] = {
        NULL, "", "No acute process.",
        "Gr\xc3\xb6\xc3\x9f"
        "e 3\xc2\xb5m,\n \xe8\x82\xba \xf0\x9f\xab\x81, \"quoted\"\tand so on.",
        "x"};
    return texts[(i + 2 * (int)kind) % 5];
}

int8_t label_of(int i, int class) {
    return (int8_t)((i * 5 + class * 3) % 4 - 2);
}

void shard_put(shard_writer *w, int i, int level) {
    static uint8_t pixels[STORED_PIXELS], packed[2 * STORED_PIXELS];
    char ids[ID_COUNT][64];
    deflater *d;
    stored_picture(pixels, i);
    shard_record r = {.packed = level ? packed : pixels,
                      .packed_size = STORED_PIXELS,
                      .crc = checksum_crc32(0, pixels, STORED_PIXELS),
                      .width = side_of(i, 0),
                      .height = side_of(i, 1)};
    if (level) {
        OK(deflater_open(&d, level));
        zlib_compress(d, packed, &r.packed_size, pixels, sizeof packed, STORED_PIXELS);
        deflater_close(d);
    }
    for (int k = 0; k < ID_COUNT; k++) r.id[k] = record_id_of(ids[k], i, (record_id)k);
    for (int k = 0; k < TEXT_COUNT; k++) r.text[k] = record_text_of(i, (record_text)k);
    for (int c = 0; c < CLASS_COUNT; c++) r.labels[c] = label_of(i, c);
    OK(shard_add(w, &r));
}

void shard_make(const char *path, int split, int level, int first, int count, int skipped) {
    shard_writer *w;
    OK(shard_create(&w, path, split, plan_of_tests, level, count + skipped ? count + skipped : 1));
    for (int i = 0; i < count + skipped; i++) {
        char id[64], detail[64];
        if (i < count) shard_put(w, first + i, level);
        if (i >= skipped) continue;
        snprintf(id, sizeof id, "skipped-%d", i);
        snprintf(detail, sizeof detail, "%s\xc3\xa9", i % 2 ? "because " : "");
        OK(shard_skip(w, 100 + 7 * i, i % 2 ? "bad image" : "bad row", id, detail));
    }
    OK(shard_finish(w));
    shard_writer_close(w);
}

void expect_record(const shard *s, int64_t place, int i) {
    char text[64];
    buffer got = {0};
    size_t at_place = (size_t)place;
    for (int k = 0; k < ID_COUNT; k++)
        ck_assert_str_eq(text_column_at(&s->id[k], at_place), record_id_of(text, i, (record_id)k));
    for (int k = 0; k < TEXT_COUNT; k++) {
        const char *want = record_text_of(i, (record_text)k);
        OK(shard_text(&got, s, place, (record_text)k));
        ck_assert_int_eq(s->text[k].present[place], want != NULL);
        ck_assert_uint_eq(got.length, want ? strlen(want) : 0);
        ck_assert_str_eq(got.data, want ? want : "");
    }
    for (int c = 0; c < CLASS_COUNT; c++)
        ck_assert_int_eq(s->labels[place * CLASS_COUNT + c], label_of(i, c));
    for (int k = 0; k < 2; k++) ck_assert_int_eq(s->sizes[2 * place + k], side_of(i, k));
    buffer_free(&got);
}
