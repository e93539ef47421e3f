#include "tests/data/helper_tokenizer.h"
#include "core/files/fs.h"

#include <stdlib.h>
#include <string.h>

static char folder[64];

void tokenizer_folder_make(void) {
    strcpy(folder, "/tmp/radialog-tokenizer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

void tokenizer_folder_remove(void) {
    ck_assert_int_eq(path_remove(folder), STATUS_OK);
}

const char *tokenizer_folder(void) {
    return folder;
}

const char *in_folder(const char *name) {
    static char path[4][PATH_SIZE];
    static int next;
    char *out = path[next++ & 3];
    ck_assert_int_eq(path_join(out, PATH_SIZE, folder, name), STATUS_OK);
    return out;
}

void write_bytes(const char *name, const void *bytes, size_t size) {
    ck_assert_int_eq(file_write(in_folder(name), bytes, size), STATUS_OK);
}

void copy_to(const char *name, const char *from) {
    buffer bytes = {0};
    ck_assert_int_eq(file_read(from, 0, &bytes), STATUS_OK);
    write_bytes(name, bytes.data, bytes.length);
    buffer_free(&bytes);
}

tokenizer *open_good(const char *path) {
    tokenizer *t;
    ck_assert_msg(!tokenizer_open(&t, path), "%s", status_text());
    return t;
}

void expect_ids(const tokenizer *t, const char *text, const int32_t *want, size_t count) {
    buffer ids = {0};
    ck_assert_int_eq(tokenizer_encode(t, text, strlen(text), &ids), STATUS_OK);
    ck_assert_msg(ids.length == count * sizeof *want, "'%s': %zu ids, not %zu", text,
                  ids.length / sizeof *want, count);
    if (count) ck_assert_mem_eq(ids.data, want, ids.length);
    buffer_free(&ids);
}

int run_tokenizer_tests(const char *name, const TTest *const *tests) {
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 900);
    tcase_add_checked_fixture(cases, tokenizer_folder_make, tokenizer_folder_remove);
    for (; *tests; tests++) tcase_add_test(cases, *tests);
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
