// SHA-256 and HMAC against the examples of FIPS 180-4 (as NIST publishes them) and RFC 4231.
#include "core/sha256.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_hex(const uint8_t got[SHA256_SIZE], const char *want) {
    char text[2 * SHA256_SIZE + 1];
    for (int i = 0; i < SHA256_SIZE; i++) snprintf(text + 2 * i, 3, "%02x", got[i]);
    ck_assert_str_eq(text, want);
}

START_TEST(known_hashes) {
    static const struct {
        const char *text, *hash;
    } cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 // 56 bytes: the length has no room left in the first block.
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    uint8_t out[SHA256_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sha256(out, cases[i].text, strlen(cases[i].text));
        expect_hex(out, cases[i].hash);
    }
    char *many = malloc(1000000);
    memset(many, 'a', 1000000);
    sha256(out, many, 1000000);
    expect_hex(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(many);
}
END_TEST

START_TEST(known_keyed_hashes) {
    uint8_t out[SHA256_SIZE], key[20];
    hmac_sha256(out, "Jefe", 4, "what do ya want for nothing?", 28);
    expect_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0x0b, sizeof key);
    hmac_sha256(out, key, sizeof key, "Hi There", 8);
    expect_hex(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}
END_TEST

int main(void) {
    TCase *cases = tcase_create("sha256");
    tcase_add_test(cases, known_hashes);
    tcase_add_test(cases, known_keyed_hashes);
    Suite *suite = suite_create("sha256");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
