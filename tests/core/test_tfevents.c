// Event files byte by byte, against the tensorboard package (its protobuf messages and its
// masked_crc32c; see scripts/check_tensorboard.py for whole files).
#include "core/files/tfevents.h"
#include "tests/core/helper_check.h"

#include <string.h>

static void expect_record(const buffer *out, const char *event, size_t size, uint32_t length_crc,
                          uint32_t crc) {
    const uint8_t *b = (const uint8_t *)out->data;
    ck_assert_uint_eq(out->length, 8 + 4 + size + 4);
    ck_assert_uint_eq(b[0], size);
    for (int i = 1; i < 8; i++) ck_assert_uint_eq(b[i], 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(b[8 + i], length_crc >> 8 * i & 0xff);
        ck_assert_uint_eq(b[12 + size + (size_t)i], crc >> 8 * i & 0xff);
    }
    ck_assert_mem_eq(b + 12, event, size);
}

START_TEST(records) {
    static const char number[] = "\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x0c\x0a\x0a\x0a\x03"
                                 "a/b\x15\0\0\0\x3f",
                      version[] = "\x09\0\0\0\0\0\0\xf8\x3f\x1a\x0d"
                                  "brain.Event:2";
    buffer out = {0};
    ck_assert_uint_eq(tfevents_crc32c("123456789", 9), 0xe3069283u);
    tfevents_number(&out, 1.5, 300, "a/b", 0.5);
    expect_record(&out, number, sizeof number - 1, 0x2dd89b12, 0x5b13db49);
    out.length = 0;
    tfevents_begin(&out, 1.5);
    expect_record(&out, version, sizeof version - 1, 0x224b7fa3, 0x6c64282a);
    buffer_free(&out);
}
END_TEST

START_TEST(failing_memory) {
    for (int64_t n = 1;; n++) {
        buffer out = {0};
        mem_fail_at(n);
        tfevents_number(&out, 1.5, 300, "a/b", 0.5);
        const bool failed = mem_has_failed();
        mem_fail_at(0);
        ck_assert_int_eq(out.failed, failed ? STATUS_MEMORY : STATUS_OK);
        buffer_free(&out);
        if (!failed) break;
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tfevents");
    TCase *tests = tcase_create("tfevents");
    tcase_add_test(tests, records);
    tcase_add_test(tests, failing_memory);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
