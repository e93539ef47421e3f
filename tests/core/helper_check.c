#include "tests/core/helper_check.h"
#include "core/files/fs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/radialog-core-XXXXXX";

int run_suite(Suite *suite) {
    // Made here, so that tests that run in children share it.
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

Suite *suite_of(const char *name, const TTest *const *tests) {
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 120);
    for (; *tests; tests++) tcase_add_test(cases, *tests);
    suite_add_tcase(suite, cases);
    return suite;
}

const char *scratch(const char *name) {
    static char path[8][PATH_SIZE];
    static int next;
    next = (next + 1) % 8;
    ck_assert_int_eq(path_join(path[next], PATH_SIZE, folder, name), STATUS_OK);
    return path[next];
}

void scratch_write(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

void expect_clean_text(const char *label) {
    const char *text = status_text();
    ck_assert_msg(strlen(text) >= 10 && strlen(text) < 1023, "%s: text '%s'", label, text);
    for (const char *c = text; *c; c++)
        ck_assert_msg((unsigned char)*c >= ' ', "%s: control character in '%s'", label, text);
}

void expect_failure(status rc, status expected, const char *label, const char *place,
                    const char *reason) {
    ck_assert_msg(rc == expected, "%s: %s, expected %s (text '%s')", label, status_name(rc),
                  status_name(expected), status_text());
    expect_clean_text(label);
    ck_assert_msg(!place || strstr(status_text(), place), "%s: '%s' does not name %s", label,
                  status_text(), place);
    ck_assert_msg(!reason || strstr(status_text(), reason), "%s: '%s' does not say '%s'", label,
                  status_text(), reason);
}

void expect_death(void (*act)(void), const char *label) {
    int state = 0;
    fflush(NULL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(open("/dev/null", O_WRONLY), 2);
        act();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert_msg(WIFSIGNALED(state) && WTERMSIG(state) == SIGABRT, "%s: did not die", label);
}

uint64_t fuzz_next(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545F4914F6CDD1Dull) >> 16;
}

void fuzz_mutate(buffer *b, uint64_t *state) {
    static const char *const words[] = {"{",    "}",  "[",    "]",     "\"", ":", ",", "null",
                                        "1e99", "-0", "\\u0", "\\ud8", "\n", "9", "0", "\xff"};
    int edits = 1 + (int)(fuzz_next(state) % 6);
    for (int i = 0; i < edits && b->length; i++) {
        size_t at = fuzz_next(state) % b->length, count = 1 + fuzz_next(state) % 8;
        if (count > b->length - at) count = b->length - at;
        switch (fuzz_next(state) % 4) {
        case 0:
            b->data[at] = (char)fuzz_next(state);
            break;
        case 1:
            b->data[at] = words[fuzz_next(state) % 16][0];
            break;
        case 2:
            memmove(b->data + at, b->data + at + count, b->length - at - count + 1);
            b->length -= count;
            break;
        default: {
            const char *word = words[fuzz_next(state) % 16];
            size_t length = strlen(word);
            buffer_append(b, word, length); // makes room; then the tail moves up
            memmove(b->data + at + length, b->data + at, b->length - length - at);
            memcpy(b->data + at, word, length);
        }
        }
    }
}
