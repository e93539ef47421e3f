// core/base64.h: RFC 4648's examples, all bytes, what is refused.
#include "core/base64.h"
#include "tests/core/helper_check.h"

#include <string.h>

static void expect(const char *text, const char *bytes) {
    buffer out = {0};
    buffer_text(&out, "");
    ck_assert_int_eq(base64_decode(&out, text, strlen(text)), STATUS_OK);
    ck_assert_str_eq(out.data, bytes);
    buffer_free(&out);
}

START_TEST(examples) {
    expect("", "");
    expect("Zg==", "f");
    expect("Zm8=", "fo");
    expect("Zm9v", "foo");
    expect("Zm9vYg==", "foob");
    expect("Zm9vYmE=", "fooba");
    expect("Zm9vYmFy", "foobar");
}
END_TEST

// A plain encoder against the decoder, over lengths around the decoder's block.
START_TEST(all_bytes) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t state = 7;
    for (int length = 0; length < 2000; length += length < 20 ? 1 : 97) {
        uint8_t bytes[2000] = {0};
        char text[2700];
        size_t n = 0;
        for (int i = 0; i < length; i++) bytes[i] = (uint8_t)fuzz_next(&state);
        for (int i = 0; i < length; i += 3) {
            const uint32_t word = (uint32_t)bytes[i] << 16 | (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0) |
                                  (i + 2 < length ? bytes[i + 2] : 0u);
            for (int k = 0; k < 4; k++) text[n++] = i + k > length ? '=' : letters[word >> (18 - 6 * k) & 63];
        }
        buffer out = {0};
        ck_assert_int_eq(base64_decode(&out, text, n), STATUS_OK);
        ck_assert_uint_eq(out.length, (size_t)length);
        if (length) ck_assert_mem_eq(out.data, bytes, (size_t)length);
        buffer_free(&out);
    }
}
END_TEST

START_TEST(refusals) {
    static const struct {
        const char *text, *says;
    } wrong[] = {{"Zg", "no multiple of 4"},    {"Zg=", "no multiple of 4"}, {"Zg==Zg==", "character 3: is none"},
                 {"Z===", "character 2: is none"}, {"====", "character 1: is none"}, {"Zm9v\nZm9", "character 5: is none"},
                 {"Zm-_", "character 3: is none"}, {"Zh==", "character 2: has bits"}, {"Zm9=", "character 3: has bits"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        buffer out = {0};
        expect_failure(base64_decode(&out, wrong[i].text, strlen(wrong[i].text)), STATUS_FORMAT, wrong[i].text, "base64",
                       wrong[i].says);
        buffer_free(&out);
    }
}
END_TEST

int main(void) {
    return run_suite(suite_of("base64", (const TTest *const[]){examples, all_bytes, refusals, NULL}));
}
