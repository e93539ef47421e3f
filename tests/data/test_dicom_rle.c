// Run-length coded pixels: the kinds of runs of PS3.5 annex G, and what a damaged file may say.
#include "data/dicom_rle.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 64 };

static size_t coded(uint8_t *out, int segments, const uint8_t *body, size_t size, size_t second) {
    memset(out, 0, HEADER);
    out[0] = (uint8_t)segments;
    out[4] = HEADER;
    if (segments == 2) out[8] = (uint8_t)(HEADER + second);
    memcpy(out + HEADER, body, size);
    return HEADER + size;
}

START_TEST(runs) {
    // Three bytes as they are; nothing; five of one; the padding.
    static const uint8_t body[] = {2, 7, 8, 9, 128, 252, 4, 0}, want[] = {7, 8, 9, 4, 4, 4, 4, 4};
    uint8_t in[HEADER + sizeof body], out[sizeof want];
    size_t size = coded(in, 1, body, sizeof body, 0);
    ck_assert(dicom_rle_decode(out, sizeof want, 1, in, size));
    ck_assert_mem_eq(out, want, sizeof want);
}
END_TEST

START_TEST(words) {
    static const uint8_t body[] = {254, 1, 0, 3, /**/ 2,
                                   5,   6, 7, 0, 8}; // high bytes 1 1 1 3, low ones 5 6 7 8
    static const uint16_t want[] = {0x105, 0x106, 0x107, 0x308};
    uint8_t in[HEADER + sizeof body];
    uint16_t out[4];
    size_t size = coded(in, 2, body, sizeof body, 4);
    ck_assert(dicom_rle_decode(out, 4, 2, in, size));
    ck_assert_mem_eq(out, want, sizeof want);
}
END_TEST

// Every length of a good file but its own is an error, and so is every place that points elsewhere.
START_TEST(damage) {
    static const uint8_t body[] = {2, 7, 8, 9, 252, 4};
    uint8_t in[HEADER + sizeof body], out[8];
    size_t size = coded(in, 1, body, sizeof body, 0);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, in, cut);
        ck_assert_msg(!dicom_rle_decode(out, 8, 1, exact, cut), "%zu bytes", cut);
        free(exact);
    }
    ck_assert(dicom_rle_decode(out, 8, 1, in, size));
    ck_assert(!dicom_rle_decode(out, 6, 1, in, size)); // a run of two too many
    ck_assert(!dicom_rle_decode(out, 4, 2, in, size)); // other segments than samples have bytes
    static const uint32_t places[] = {0, 63, 65, 200, 0x2c0040, 0xffffffff};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        memcpy(in + 4, &places[i], 4);
        ck_assert_msg(!dicom_rle_decode(out, 8, 1, in, size), "place %u", places[i]);
    }
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("dicom rle");
    tcase_add_test(cases, runs);
    tcase_add_test(cases, words);
    tcase_add_test(cases, damage);
    Suite *suite = suite_create("dicom rle");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
