// A radiograph in a file of its own: a DICOM file gives the pixels that its record of an ingest
// has, by path and from memory; what is no radiograph says why and names nobody; bytes that would
// keep DCMTK busy for ever, or bring it down, are refused before it sees them.
#include "data/radiograph.h"
#include "data/dicom_walk.h"
#include "data/image.h"
#include "data/loader.h"
#include "data/pseudonyms.h"
#include "tests/data/helper_dicom.h"
#include "tests/data/helper_source.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FILES = 8, SIDE = 64, BITS = 12 };

static const radiograph_rules plain = {0};

static uint16_t samples[SIDE * SIDE];
static const dicom_source film = {.instance = "1.2.3",
                                  .study = "1.2",
                                  .patient = "P1",
                                  .width = SIDE,
                                  .height = SIDE,
                                  .allocated = 16,
                                  .stored = BITS,
                                  .center = "1800",
                                  .span = "1500",
                                  .samples = samples};

static void draw(void) {
    static uint8_t pixels[SIDE * SIDE];
    picture(pixels, 1, SIDE, SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) samples[i] = (uint16_t)(pixels[i] * 16 + i % 16);
}

// --- the same pixels
// ------------------------------------------------------------------------------

static void read_square(uint8_t *out, const char *path, dicom_recipe intensity, bool memory) {
    const radiograph_rules rules = {.intensity = intensity, .pixels = SIDE * SIDE};
    image i;
    status rc;
    if (memory) {
        buffer bytes = read_whole(path);
        rc = radiograph_decode(&i, bytes.data, bytes.length, "it", &rules);
        buffer_free(&bytes);
    } else
        rc = radiograph_read(&i, path, &rules);
    ck_assert_msg(!rc, "%s: %s", path, status_text());
    ck_assert_int_eq(image_square(out, &i, STORED_SIDE), STATUS_OK);
    image_free(&i);
}

static void expect_record(const dataset *set, pixel_reader *r, const char *instance,
                          const char *path, dicom_recipe intensity) {
    static uint8_t stored[STORED_PIXELS], seen[STORED_PIXELS];
    char id[PSEUDONYM_SIZE];
    pseudonym_key key;
    ck_assert_int_eq(pseudonym_key_open(&key, at("films/radialog-ids.key")), STATUS_OK);
    const int64_t record = dataset_find(set, pseudonym(id, &key, "image", instance));
    ck_assert_int_ge(record, 0);
    ck_assert_int_eq(dataset_pixels(stored, r, record), STATUS_OK);
    for (int memory = 0; memory < 2; memory++) {
        memset(seen, 0, sizeof seen);
        read_square(seen, path, intensity, memory);
        ck_assert_msg(!memcmp(stored, seen, sizeof seen), "%s, %s", path,
                      dicom_recipe_names[intensity]);
    }
}

START_TEST(pixels_of_its_record) {
    static const char *const ways[FILES] = {NULL,         "rle",      "jpeg-lossless", "jpeg-ls",
                                            "big-endian", "implicit", "inverted",      "narrow"};
    static uint8_t narrow[SIDE * SIDE];
    ck_assert_int_eq(folder_make(at("films")), STATUS_OK);
    for (int i = 0; i < SIDE * SIDE; i++) narrow[i] = (uint8_t)(samples[i] >> 4);
    for (int i = 0; i < FILES; i++) {
        char instance[16];
        dicom_source s = film;
        snprintf(instance, sizeof instance, "1.2.%d", i);
        s.instance = s.study = instance;
        if (i == 5) s.syntax = IMPLICIT_SYNTAX;
        if (i == 6) s.photometric = "MONOCHROME1";
        if (i >= 7) s.samples = narrow, s.allocated = s.stored = 8, s.center = "90", s.span = "70";
        dicom_write(at("films/%d", i), &s);
        if (ways[i] && i < 5)
            ck_assert_msg(!dicom_compress(at("films/%d", i), ways[i]), "%s", ways[i]);
        write_text(at("films/%d.txt", i), "FINDINGS: x.\n");
    }
    for (int k = 0; k < DICOM_RECIPES; k++) {
        ingest_options o = folder_options(at("films"), at("shards-%d", k));
        dataset *set;
        pixel_reader *r;
        o.source = INGEST_DICOM;
        o.intensity = (dicom_recipe)k;
        ck_assert_int_eq(expect_ingest(&o, STATUS_OK).records, FILES);
        ck_assert_int_eq(dataset_open(&set, at("shards-%d", k)), STATUS_OK);
        ck_assert_int_eq(pixel_reader_open(&r, set), STATUS_OK);
        for (int i = 0; i < FILES; i++) {
            char instance[16];
            snprintf(instance, sizeof instance, "1.2.%d", i);
            expect_record(set, r, instance, at("films/%d", i), (dicom_recipe)k);
        }
        pixel_reader_close(r);
        dataset_close(set);
    }
}
END_TEST

// --- what is no radiograph
// ------------------------------------------------------------------------

// By path and from memory, with this in the text and nothing of NOBODY.
static void expect_refusal(const void *bytes, size_t count, const char *says) {
    static const char *const nobody[] = {"DOE", "JANE", "4711"};
    image i;
    ck_assert_int_eq(file_write(at("one"), count ? bytes : "", count), STATUS_OK);
    for (int memory = 0; memory < 2; memory++) {
        status rc = memory ? radiograph_decode(&i, bytes, count, "the image", &plain)
                           : radiograph_read(&i, at("one"), &plain);
        ck_assert_msg(rc == STATUS_FORMAT && strstr(status_text(), says), "%s: %d %s", says, rc,
                      status_text());
        ck_assert(!i.pixels);
        for (size_t n = 0; n < sizeof nobody / sizeof *nobody; n++)
            ck_assert_msg(!strstr(status_text(), nobody[n]), "%s", status_text());
    }
}

static const dicom_source secret = {.instance = "1.2.4711",
                                    .study = "1.2.4711.1",
                                    .patient = "4711",
                                    .name = "DOE^JANE",
                                    .accession = "JANE4711",
                                    .view = "DOE",
                                    .width = SIDE,
                                    .height = SIDE};

START_TEST(says_why_and_names_nobody) {
    static uint8_t many[SIDE * SIDE * 4];
    static const struct {
        dicom_source s;
        const char *says;
    } cases[] = {
        {{.syntax = "1.2.840.10008.1.2.4.90"},
         "JPEG 2000 (Lossless only) (1.2.840.10008.1.2.4.90)"},
        {{.modality = "CT"}, "modality CT, not CR or DX"},
        {{.modality = "DOE JANE"}, "modality unknown, not CR or DX"},
        {{.sop_class = TEXT_REPORT, .modality = "SR"}, "a structured report, not a radiograph"},
        {{.frames = "2"}, "several frames"},
        {{.photometric = "DOE"}, "neither MONOCHROME1 nor"},
        {{.samples_per_pixel = 3}, "colour"},
        {{.stored = 9}, "stored bits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = {0};
        dicom_source s = secret;
        s.syntax = cases[i].s.syntax, s.sop_class = cases[i].s.sop_class;
        s.modality = cases[i].s.modality, s.frames = cases[i].s.frames;
        s.photometric = cases[i].s.photometric, s.stored = cases[i].s.stored;
        s.samples_per_pixel = cases[i].s.samples_per_pixel, s.samples = many;
        dicom_bytes(&b, &s);
        expect_refusal(b.data, b.length, cases[i].says);
        buffer_free(&b);
    }
    expect_refusal("", 0, "the file is empty");
    expect_refusal("DOE JANE", 8, "neither a JPEG, a PNG nor a DICOM file");
    buffer b = {0};
    dicom_source s = secret;
    s.samples = samples, s.allocated = 16;
    dicom_bytes(&b, &s);
    expect_refusal(b.data, b.length - SIDE, "not a whole DICOM file");
    buffer_free(&b);
}
END_TEST

START_TEST(pixels_are_limited) {
    const radiograph_rules few = {.pixels = SIDE * SIDE - 1, .setting = "a.setting"};
    image i;
    buffer b = {0};
    dicom_bytes(&b, &film);
    ck_assert_int_eq(radiograph_decode(&i, b.data, b.length, "the image", &few), STATUS_FORMAT);
    ck_assert_str_eq(status_text(),
                     "the image has 64 x 64 pixels; there may be 4095 in all (a.setting)");
    buffer_free(&b);
}
END_TEST

// --- bytes from anybody
// ---------------------------------------------------------------------------

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// FILM with so many times PART behind what it says.
static buffer with_parts(const char *part, size_t size, int times) {
    buffer b = {0};
    dicom_source s = film;
    s.samples = NULL;
    dicom_bytes(&b, &s);
    for (int i = 0; i < times; i++) buffer_append(&b, part, size);
    ck_assert(!b.failed);
    return b;
}

static void expect_early_end(buffer *b, const char *says) {
    image i;
    const double begin = seconds();
    ck_assert_int_eq(radiograph_decode(&i, b->data, b->length, "the image", &plain), STATUS_FORMAT);
    ck_assert_msg(strstr(status_text(), says) != NULL, "%s: %s", says, status_text());
    ck_assert(seconds() - begin < 1);
    buffer_free(b);
}

START_TEST(the_library_is_spared) {
    static const char nest[] = "\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
    static const char empty[] = "\x11\0\x10\x10LO\0\0";
    static const char unknown[] = "\x11\0\x10\x10UN\0\0\xff\xff\xff\xff";
    static const char odd[] = "\x11\0\x10\x10XX\0\0";
    static const char claims[] = "\x11\0\x10\x10OB\0\0\xf0\xff\xff\xff";
    static const char item[] = "\xfe\xff\0\xe0\0\0\0\0";
    const struct {
        const char *part, *says;
        size_t size;
        int times;
    } cases[] = {{nest, "sequences in sequences", sizeof nest - 1, 100000},
                 {empty, "more elements than a radiograph has", sizeof empty - 1, 1000000},
                 {unknown, "not a whole DICOM file", sizeof unknown - 1, 1},
                 {odd, "not a whole DICOM file", sizeof odd - 1, 1},
                 {claims, "not a whole DICOM file", sizeof claims - 1, 1},
                 {item, "not a whole DICOM file", sizeof item - 1, 1},
                 {nest, "not a whole DICOM file", sizeof nest - 1, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = with_parts(cases[i].part, cases[i].size, cases[i].times);
        expect_early_end(&b, cases[i].says);
    }
    dicom_write(at("deflated"), &film);
    ck_assert(!dicom_compress(at("deflated"), "deflated"));
    buffer b = read_whole(at("deflated"));
    expect_early_end(&b, "a deflated data set");
    const char *const guessed[] = {"1.2.840.10008.1.2.77", "1.2.840.113619.5.2",
                                   "1.2.840.10008.1.2.4.95"};
    for (size_t i = 0; i < 3; i++) {
        dicom_source s = film;
        s.syntax = guessed[i];
        b = (buffer){0};
        dicom_bytes(&b, &s);
        expect_early_end(&b, guessed[i]);
    }
}
END_TEST

// Cut anywhere, nothing is read behind the end (the memory checker's matter) and no part is taken
// for the whole.
START_TEST(no_part_is_the_whole) {
    char why[128];
    buffer b = {0};
    dicom_source s = film;
    s.view_meaning = "postero-anterior"; // a sequence
    dicom_bytes(&b, &s);
    ck_assert(!dicom_walk((const uint8_t *)b.data, b.length, why, sizeof why));
    const size_t head = b.length - sizeof samples;
    for (size_t n = 0; n < b.length; n += n < head ? 1 : 997) {
        uint8_t *part = NULL;
        ck_assert(!mem_new(&part, n + !n, "a part"));
        memcpy(part, b.data, n);
        const int rc = dicom_walk(part, n, why, sizeof why);
        ck_assert(rc ? *why != 0 : n < head); // between two elements it may be one of less
        mem_free(part);
    }
    buffer_free(&b);
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("radiograph");
    tcase_set_timeout(cases, 120);
    tcase_add_unchecked_fixture(cases, draw, NULL);
    tcase_add_test(cases, pixels_of_its_record);
    tcase_add_test(cases, says_why_and_names_nobody);
    tcase_add_test(cases, pixels_are_limited);
    tcase_add_test(cases, the_library_is_spared);
    tcase_add_test(cases, no_part_is_the_whole);
    Suite *suite = suite_create("radiograph");
    suite_add_tcase(suite, cases);
    return run_in_folder(suite);
}
