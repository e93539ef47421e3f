// The two recipes for DICOM pixels against what numpy, OpenCV and pydicom make of the same samples
// (scripts/golden/dicom.py), bits that are not the samples', and what cannot be shown.
#include "core/rng.h"
#include "data/image.h"
#include "tests/golden_text.h"

#include "data/dicom_pixels.h"

#include <check.h>
#include <math.h>

static buffer golden;

static golden_values part(int number, const char *name) {
    char prefix[16];
    snprintf(prefix, sizeof prefix, "%d", number);
    return golden_part(&golden, prefix, name);
}

// VALUE is the caller's to free.
static dicom_lut golden_lut(int number, const char *name, uint16_t **value) {
    golden_values v = part(number, name);
    dicom_lut lut = {0};
    *value = NULL;
    if (v.count > 1) {
        ck_assert_int_eq(mem_new(value, v.count, "a table"), STATUS_OK);
        lut = (dicom_lut){*value, (int)v.value[0], (int)v.value[1], (int)v.value[2]};
        ck_assert_uint_eq(v.count, 3 + (size_t)lut.count);
        for (int i = 0; i < lut.count; i++) (*value)[i] = (uint16_t)v.value[3 + i];
    }
    mem_free(v.value);
    return lut;
}

typedef struct picture {
    dicom_frame frame;
    uint16_t *modality, *voi;
    void *samples; // (height, width)
} picture;

// SPARE: bits of the word that are not the sample's, above and below it.
static picture golden_picture(int number, int low_bits, bool spare) {
    golden_values size = golden_find(&golden, "size"), f = part(number, "frame"),
                  real = part(number, "real");
    golden_values stored = part(number, "stored");
    picture p = {.frame = {.width = (int)size.value[0],
                           .height = (int)size.value[1],
                           .allocated = (int)f.value[0],
                           .stored = (int)f.value[1],
                           .is_signed = f.value[2] != 0,
                           .inverted = f.value[3] != 0,
                           .function = (dicom_function)f.value[4],
                           .slope = real.value[0],
                           .intercept = real.value[1],
                           .center = real.value[2],
                           .span = real.value[3],
                           .windowed = real.value[3] > 0}};
    dicom_frame *d = &p.frame;
    d->high = d->stored - 1 + low_bits;
    d->modality = golden_lut(number, "modality", &p.modality);
    d->voi = golden_lut(number, "voi", &p.voi);
    ck_assert_int_eq(mem_take(&p.samples, stored.count, 2, "samples"), STATUS_OK);
    const uint32_t used = ((1u << d->stored) - 1) << low_bits;
    for (size_t i = 0; i < stored.count; i++) {
        uint32_t word = (uint32_t)((int)stored.value[i]) << low_bits & used;
        if (spare) word |= (uint32_t)(i * 40503u) & ~used;
        if (d->allocated == 8)
            ((uint8_t *)p.samples)[i] = (uint8_t)word;
        else
            ((uint16_t *)p.samples)[i] = (uint16_t)word;
    }
    mem_free(size.value), mem_free(f.value), mem_free(real.value), mem_free(stored.value);
    return p;
}

static void picture_free(picture *p) {
    mem_free(p->modality), mem_free(p->voi), mem_free(p->samples);
}

static int cases(void) {
    golden_values v = golden_find(&golden, "cases");
    int count = (int)v.value[0];
    mem_free(v.value);
    return count;
}

static void expect_mimic(int number, const picture *p) {
    image got = {0};
    golden_values want = part(number, "mimic");
    ck_assert_int_eq(dicom_image(&got, &p->frame, p->samples, DICOM_MIMIC_CXR_JPG), STATUS_OK);
    ck_assert_int_eq(got.depth, 8);
    for (size_t i = 0; i < want.count; i++)
        ck_assert_msg(((uint8_t *)got.pixels)[i] == (uint8_t)want.value[i],
                      "case %d, pixel %zu: %d, not %g", number, i, ((uint8_t *)got.pixels)[i],
                      want.value[i]);
    mem_free(want.value);
    image_free(&got);
}

// One step of 16 bits: where a double falls between two.
static void expect_window(int number, const picture *p) {
    image got = {0};
    golden_values want = part(number, "window");
    ck_assert_int_eq(dicom_image(&got, &p->frame, p->samples, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(got.depth, 16);
    for (size_t i = 0; i < want.count; i++) {
        double off = fabs(((uint16_t *)got.pixels)[i] - 65535 * want.value[i]);
        ck_assert_msg(off <= 0.501, "case %d, pixel %zu: %d, not %g", number, i,
                      ((uint16_t *)got.pixels)[i], 65535 * want.value[i]);
    }
    mem_free(want.value);
    image_free(&got);
}

START_TEST(as_public_libraries_have_it) {
    for (int i = 0; i < cases(); i++) {
        picture p = golden_picture(i, 0, false);
        expect_mimic(i, &p);
        expect_window(i, &p);
        picture_free(&p);
    }
}
END_TEST

// The sample's bits may stand anywhere in the word, and the others hold anything.
START_TEST(other_bits_are_not_looked_at) {
    for (int i = 0; i < cases(); i++) {
        picture p = golden_picture(i, 0, true);
        int room = p.frame.allocated - p.frame.stored;
        expect_mimic(i, &p);
        expect_window(i, &p);
        picture_free(&p);
        p = golden_picture(i, room, true);
        expect_mimic(i, &p);
        expect_window(i, &p);
        picture_free(&p);
    }
}
END_TEST

// Nothing to apply: values stay what they are.
START_TEST(plain_samples_stay) {
    uint8_t bytes[] = {0, 7, 130, 255};
    uint16_t words[] = {0, 1, 2048, 4095};
    image got = {0};
    dicom_frame f = {.width = 2, .height = 2, .allocated = 8, .stored = 8, .high = 7, .slope = 1};
    ck_assert_int_eq(dicom_image(&got, &f, bytes, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(got.depth, 8);
    ck_assert_mem_eq(got.pixels, bytes, 4);
    f.inverted = true;
    ck_assert_int_eq(dicom_image(&got, &f, bytes, DICOM_WINDOW), STATUS_OK);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(((uint8_t *)got.pixels)[i], 255 - bytes[i]);
    f = (dicom_frame){
        .width = 4, .height = 1, .allocated = 16, .stored = 12, .high = 11, .slope = 1};
    ck_assert_int_eq(dicom_image(&got, &f, words, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(got.depth, 16);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(((uint16_t *)got.pixels)[i], words[i]);
    image_free(&got);
}
END_TEST

// 8 bits that stand in 12 of 16 give the square of the 8 bits themselves.
START_TEST(width_changes_no_square) {
    enum { WIDTH = 40, HEIGHT = 31, SIDE = 16 };
    static uint8_t bytes[WIDTH * HEIGHT], want[SIDE * SIDE], got[SIDE * SIDE];
    static uint16_t words[WIDTH * HEIGHT];
    image wide = {0};
    for (int i = 0; i < WIDTH * HEIGHT; i++) {
        bytes[i] = (uint8_t)(i < 2 ? 255u * (uint32_t)i
                                   : rng_below((rng_key){.seed = 1}, 0, (uint64_t)i, 256));
        words[i] = (uint16_t)(bytes[i] * 16);
    }
    image narrow = {.width = WIDTH, .height = HEIGHT, .channels = 1, .depth = 8, .pixels = bytes};
    dicom_frame f = {
        .width = WIDTH, .height = HEIGHT, .allocated = 16, .stored = 12, .high = 11, .slope = 1};
    ck_assert_int_eq(image_square(want, &narrow, SIDE), STATUS_OK);
    ck_assert_int_eq(dicom_image(&wide, &f, words, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(image_square(got, &wide, SIDE), STATUS_OK);
    ck_assert_mem_eq(got, want, sizeof want);
    // A window that shows all of 8 bits.
    f = (dicom_frame){.width = WIDTH,
                      .height = HEIGHT,
                      .allocated = 8,
                      .stored = 8,
                      .high = 7,
                      .slope = 1,
                      .windowed = true,
                      .center = 128,
                      .span = 256};
    ck_assert_int_eq(dicom_image(&wide, &f, bytes, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(image_square(got, &wide, SIDE), STATUS_OK);
    ck_assert_mem_eq(got, want, sizeof want);
    image_free(&wide);
}
END_TEST

START_TEST(one_value_is_black) {
    uint16_t words[] = {700, 700, 700, 700};
    image got = {0};
    dicom_frame f = {
        .width = 2, .height = 2, .allocated = 16, .stored = 16, .high = 15, .slope = 1};
    ck_assert_int_eq(dicom_image(&got, &f, words, DICOM_MIMIC_CXR_JPG), STATUS_OK);
    for (int i = 0; i < 4; i++) ck_assert_int_eq(((uint8_t *)got.pixels)[i], 0);
    image_free(&got);
}
END_TEST

START_TEST(what_cannot_be_shown) {
    uint16_t words[4] = {0};
    const dicom_frame good = {.width = 2,
                              .height = 2,
                              .allocated = 16,
                              .stored = 16,
                              .high = 15,
                              .slope = 1,
                              .windowed = true,
                              .center = 5,
                              .span = 5};
    static const struct {
        double span, slope, center;
        dicom_function function;
        int width;
        const char *says;
    } bad[] = {{0.5, 1, 5, DICOM_LINEAR, 2, "window"},      {0, 1, 5, DICOM_SIGMOID, 2, "window"},
               {-4, 1, 5, DICOM_LINEAR_EXACT, 2, "window"}, {NAN, 1, 5, DICOM_LINEAR, 2, "window"},
               {5, 1, INFINITY, DICOM_LINEAR, 2, "window"}, {5, NAN, 5, DICOM_LINEAR, 2, "slope"},
               {5, 1, 5, DICOM_LINEAR, 40000, "40000 x 2"}, {5, 1, 5, DICOM_LINEAR, 0, "0 x 2"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        image got = {0};
        dicom_frame f = good;
        f.span = bad[i].span, f.slope = bad[i].slope, f.center = bad[i].center;
        f.function = bad[i].function, f.width = bad[i].width;
        ck_assert_int_eq(dicom_image(&got, &f, words, DICOM_WINDOW), STATUS_FORMAT);
        ck_assert_msg(strstr(status_text(), bad[i].says), "%s", status_text());
        ck_assert_ptr_null(got.pixels);
    }
    // Far outside: a window clips, a table ends. A table's value that is too large is its largest.
    image got = {0};
    dicom_frame f = good;
    f.slope = 1e300, f.intercept = -1e300;
    uint16_t few[] = {100, 200};
    ck_assert_int_eq(dicom_image(&got, &f, words, DICOM_WINDOW), STATUS_OK);
    f.voi = (dicom_lut){few, 2, 0, 8};
    ck_assert_int_eq(dicom_image(&got, &f, words, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(((uint16_t *)got.pixels)[0], 25700); // 100 of 255
    few[0] = 300;
    ck_assert_int_eq(dicom_image(&got, &f, words, DICOM_WINDOW), STATUS_OK);
    ck_assert_int_eq(((uint16_t *)got.pixels)[0], 65535);
    image_free(&got);
}
END_TEST

int main(void) {
    golden = golden_open(TEST_DATA "/dicom.txt");
    TCase *cases_of = tcase_create("dicom pixels");
    tcase_add_test(cases_of, as_public_libraries_have_it);
    tcase_add_test(cases_of, other_bits_are_not_looked_at);
    tcase_add_test(cases_of, plain_samples_stay);
    tcase_add_test(cases_of, width_changes_no_square);
    tcase_add_test(cases_of, one_value_is_black);
    tcase_add_test(cases_of, what_cannot_be_shown);
    Suite *suite = suite_create("dicom pixels");
    suite_add_tcase(suite, cases_of);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    buffer_free(&golden);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
