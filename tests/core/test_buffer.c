// core/buffer.h: appending, the sticky error, JSON strings and shortest numbers, UTF-8.
#include "core/buffer.h"
#include "core/files/json.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(appending) {
    buffer b = {0};
    buffer_text(&b, "");
    ck_assert_str_eq(b.data, "");
    buffer_append(&b, "a\0b", 3);
    buffer_print(&b, "%d-%s", 12, "x");
    buffer_text(&b, "!");
    ck_assert_uint_eq(b.length, 8);
    ck_assert_mem_eq(b.data, "a\0b12-x!", 9);
    for (int i = 0; i < 10000; i++) buffer_print(&b, "%d,", i % 10);
    ck_assert_uint_eq(b.length, 20008);
    ck_assert_uint_eq(strlen(b.data + 2), 20006);
    ck_assert_mem_eq(b.data + 20004, "8,9,", 5);
    ck_assert_int_eq(b.failed, STATUS_OK);
    buffer_free(&b);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.length + b.capacity, 0);
}
END_TEST

START_TEST(the_error_sticks) {
    for (int kind = 0; kind < 2; kind++) {
        buffer b = {0};
        buffer_text(&b, "kept");
        mem_fail_at(1);
        for (int i = 0; i < 1000 && !b.failed; i++) {
            if (kind)
                buffer_print(&b, "%s", "more");
            else
                buffer_text(&b, "more");
        }
        mem_fail_at(0);
        ck_assert_int_eq(b.failed, STATUS_MEMORY);
        size_t length = b.length;
        buffer_text(&b, "after");
        buffer_print(&b, "%d", 1);
        buffer_json(&b, "x");
        buffer_json_number(&b, 1);
        ck_assert_uint_eq(b.length, length);
        ck_assert_mem_eq(b.data, "kept", 4);
        buffer_free(&b);
    }
}
END_TEST

START_TEST(json_strings) {
    static const char *const cases[][2] = {
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"q\"b\\s/", "\"q\\\"b\\\\s/\""},
        {"\n\t\r\x01\x1f\x7f", "\"\\n\\u0009\\u000d\\u0001\\u001f\x7f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b",
         "\"a\xef\xbf\xbd"
         "b\""},                                                        // no UTF-8 at all
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                   // overlong
        {"\xed\xa0\x80!", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!\""}, // surrogate
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""}, // cut
        {"\xc3(", "\"\xef\xbf\xbd(\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = {0};
        json *document;
        buffer_json(&b, cases[i][0]);
        ck_assert_str_eq(b.data, cases[i][1]);
        ck_assert_int_eq(json_parse(&document, "string", b.data, b.length, 1), STATUS_OK);
        json_close(document);
        buffer_free(&b);
    }
}
END_TEST

static void check_number(double value) {
    buffer b = {0};
    buffer_json_number(&b, value);
    double back = strtod(b.data, NULL);
    ck_assert_msg(memcmp(&back, &value, sizeof value) == 0, "%a became %s", value, b.data);
    ck_assert_uint_le(b.length, 24);
    buffer_free(&b);
}

START_TEST(json_numbers) {
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {0.1, "0.1"},
                 {-2.5, "-2.5"},
                 {1e-4, "0.0001"},
                 {1e300, "1e+300"},
                 {123456, "123456"},
                 {INFINITY, "null"},
                 {-INFINITY, "null"},
                 {0.30000000000000004, "0.30000000000000004"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer b = {0};
        buffer_json_number(&b, cases[i].value);
        ck_assert_str_eq(b.data, cases[i].text);
        buffer_free(&b);
    }
    buffer b = {0};
    buffer_json_number(&b, NAN);
    ck_assert_str_eq(b.data, "null");
    buffer_free(&b);
    check_number(5e-324);
    check_number(1.7976931348623157e308);
    check_number(9007199254740993.0);
    uint64_t state = 3;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = fuzz_next(&state) << 32 ^ fuzz_next(&state) ^ fuzz_next(&state) << 50;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) check_number(value);
        check_number((double)(float)(value = (double)(int64_t)(bits >> 20) / 1000));
    }
}
END_TEST

// Every text of two bytes, and the ends of what three and four bytes may be.
START_TEST(utf8) {
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"", true},
        {"a\n\x7f", true},
        {"\xe0\xa0\x80", true},
        {"\xe0\x9f\xbf", false}, // overlong
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false}, // a surrogate
        {"\xef\xbf\xbd", true},
        {"\xe2\x82", false},
        {"\xe2\x82z", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false}, // beyond U+10FFFF
        {"\xf5\x80\x80\x80", false},
        {"\xf0\x9f\xab", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(text_is_utf8(cases[i].text, strlen(cases[i].text)) == cases[i].good,
                      "case %zu", i);
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            const char text[3] = {(char)a, (char)b, 0};
            bool good = (a && a < 128 && b && b < 128) ||
                        (a >= 0xc2 && a < 0xe0 && b >= 0x80 && b < 0xc0);
            if (text_is_utf8(text, 2) != good) ck_abort_msg("%02x %02x", (unsigned)a, (unsigned)b);
        }
    ck_assert(text_is_utf8("a", 1));
    ck_assert(!text_is_utf8("a\0b", 3));
}
END_TEST

int main(void) {
    const TTest *const tests[] = {appending, the_error_sticks, json_strings, json_numbers, utf8, NULL};
    return run_suite(suite_of("buffer", tests));
}
