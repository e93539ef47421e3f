// core/status.h: one line per error, carried untouched, per thread; our own bugs stop the program.
#include "core/status.h"
#include "tests/core/helper_check.h"

#include <pthread.h>
#include <string.h>

START_TEST(text_is_one_line) {
    ck_assert_int_eq(status_fail(STATUS_IO, "%s: line %d", "a\nb\tc\x7f", 3), STATUS_IO);
    ck_assert_str_eq(status_text(), "a?b?c?: line 3");
    ck_assert_int_eq(status_fail(STATUS_FORMAT, "\xc3\xa9"), STATUS_FORMAT); // UTF-8 stays
    ck_assert_str_eq(status_text(), "\xc3\xa9");
}
END_TEST

START_TEST(text_is_cut) {
    char name[3000];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    status_fail(STATUS_IO, "%s", name);
    ck_assert_uint_eq(strlen(status_text()), 1023);
    status_carry(STATUS_IO, name);
    ck_assert_uint_eq(strlen(status_text()), 1023);
}
END_TEST

START_TEST(text_may_name_itself) {
    status_fail(STATUS_IO, "inner");
    ck_assert_int_eq(status_fail(STATUS_FORMAT, "outer: %s", status_text()), STATUS_FORMAT);
    ck_assert_str_eq(status_text(), "outer: inner");
    ck_assert_int_eq(status_carry(STATUS_MEMORY, status_text()), STATUS_MEMORY);
    ck_assert_str_eq(status_text(), "outer: inner");
}
END_TEST

static void *fail_elsewhere(void *out) {
    strcpy(out, status_text());
    status_fail(STATUS_DEVICE, "of the other thread");
    return NULL;
}

START_TEST(text_belongs_to_the_thread) {
    char seen[64] = "?";
    pthread_t thread;
    status_fail(STATUS_IO, "of this thread");
    ck_assert_int_eq(pthread_create(&thread, NULL, fail_elsewhere, seen), 0);
    pthread_join(thread, NULL);
    ck_assert_str_eq(seen, "");
    ck_assert_str_eq(status_text(), "of this thread");
}
END_TEST

START_TEST(names) {
    ck_assert_int_eq(STATUS_OK, 0);
    ck_assert_str_eq(status_name(STATUS_OK), "ok");
    ck_assert_str_eq(status_name(STATUS_USAGE), "usage");
    ck_assert_str_eq(status_name(STATUS_FORMAT), "bad input");
    ck_assert_str_eq(status_name(STATUS_INTERRUPTED), "interrupted");
}
END_TEST

static void act(void) {
    die("%s has shape (2, 3), expected (3, 2)", "relu inp");
}

START_TEST(die_aborts) {
    expect_death(act, "die");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        text_is_one_line, text_is_cut, text_may_name_itself, text_belongs_to_the_thread, names,
        die_aborts,       NULL};
    return run_suite(suite_of("status", tests));
}
