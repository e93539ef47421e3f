// core/files/fs.h: whole-file reads, writes that appear whole or not at all, listings, removal.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(read_and_write) {
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 300000};
    buffer b = {0};
    char *bytes = malloc(300000);
    uint64_t state = 1;
    for (size_t i = 0; i < 300000; i++) bytes[i] = (char)fuzz_next(&state);
    char path[PATH_SIZE];
    strcpy(path, scratch("file"));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t size = -1;
        ck_assert_int_eq(file_write(path, bytes, sizes[i]), STATUS_OK);
        ck_assert_int_eq(file_read(path, 0, &b), STATUS_OK);
        ck_assert_uint_eq(b.length, sizes[i]);
        ck_assert(memcmp(b.data, bytes, sizes[i]) == 0);
        ck_assert_int_eq(b.data[sizes[i]], 0);
        ck_assert_int_eq(file_size(path, &size), STATUS_OK);
        ck_assert_int_eq(size, (int64_t)sizes[i]);
        uint32_t crc;
        ck_assert_int_eq(file_checksum(path, &size, &crc), STATUS_OK);
        ck_assert_int_eq(size, (int64_t)sizes[i]);
        ck_assert_uint_eq(crc, checksum_crc32(0, bytes, sizes[i]));
        ck_assert_int_eq(file_read(path, sizes[i] + 1, &b), STATUS_OK);
        if (sizes[i] < 2) continue;
        ck_assert_int_eq(file_read(path, sizes[i], &b), STATUS_OK);
        expect_failure(file_read(path, sizes[i] - 1, &b), STATUS_FORMAT, "limit", path, "larger");
    }
    ck_assert(!file_exists(scratch("file.tmp")));
    ck_assert_int_eq(file_sync(path), STATUS_OK);
    ck_assert_int_eq(file_sync(scratch("")), STATUS_OK);
    free(bytes);
    buffer_free(&b);
}
END_TEST

// A write that fails leaves the old file and no temporary one.
START_TEST(write_is_atomic) {
    buffer b = {0};
    struct stat before, after;
    char path[PATH_SIZE];
    strcpy(path, scratch("atomic"));
    ck_assert_int_eq(file_write(path, "old", 3), STATUS_OK);
    ck_assert_int_eq(stat(path, &before), 0);
    FILE *reader = fopen(path, "rb"); // who reads the old file goes on reading it
    ck_assert_int_eq(file_write(path, "newer", 5), STATUS_OK);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert(before.st_ino != after.st_ino);
    char kept[8] = "";
    ck_assert_uint_eq(fread(kept, 1, 8, reader), 3);
    ck_assert_str_eq(kept, "old");
    fclose(reader);
    ck_assert_int_eq(folder_make(scratch("atomic.tmp")), STATUS_OK); // the temporary name is taken
    expect_failure(file_write(path, "x", 1), STATUS_IO, "taken", "atomic.tmp", "create");
    ck_assert_int_eq(file_read(path, 0, &b), STATUS_OK);
    ck_assert_str_eq(b.data, "newer");
    ck_assert_int_eq(path_remove(scratch("atomic.tmp")), STATUS_OK);
    ck_assert_int_eq(folder_make(scratch("folder")), STATUS_OK);
    expect_failure(file_write(scratch("folder"), "x", 1), STATUS_IO, "folder", "folder", "rename");
    ck_assert(!file_exists(scratch("folder.tmp")));
    buffer_free(&b);
}
END_TEST

START_TEST(errors_name_the_path) {
    buffer b = {0};
    int64_t size;
    names list;
    char small[8], path[PATH_SIZE + 10];
    expect_failure(file_read(scratch("absent"), 0, &b), STATUS_IO, "read", "absent",
                   "No such file");
    expect_failure(file_read(scratch(""), 0, &b), STATUS_IO, "read", "radialog-core", "folder");
    expect_failure(file_write(scratch("no/file"), "", 0), STATUS_IO, "write", "no/file", "No such");
    expect_failure(file_sync(scratch("absent")), STATUS_IO, "sync", "absent", "No such file");
    expect_failure(file_size(scratch("absent"), &size), STATUS_IO, "size", "absent",
                   "No such file");
    expect_failure(folder_list(scratch("absent"), &list), STATUS_IO, "list", "absent", "No such");
    ck_assert_uint_eq(list.count, 0);
    scratch_write(scratch("plain"), "", 0);
    expect_failure(folder_make(scratch("plain")), STATUS_IO, "make", "plain", "no folder");
    expect_failure(folder_make(scratch("plain/in")), STATUS_IO, "make", "plain/in", "Not a dir");
    expect_failure(path_join(small, sizeof small, "folder", "n"), STATUS_IO, "join", "folder/n",
                   "too long");
    ck_assert_int_eq(path_join(small, sizeof small, "folde", "n"), STATUS_OK);
    ck_assert_str_eq(small, "folde/n");
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = 0;
    ck_assert_int_eq(file_write(path, "", 0), STATUS_IO);
    ck_assert_int_eq(folder_make(path), STATUS_IO);
    expect_failure(folder_make(""), STATUS_IO, "empty", "", "No such file");
    buffer_free(&b);
}
END_TEST

START_TEST(folders) {
    names list;
    char path[PATH_SIZE];
    strcpy(path, scratch("list"));
    ck_assert_int_eq(folder_make(scratch("list/deep/er")), STATUS_OK);
    ck_assert_int_eq(folder_make(scratch("list/deep")), STATUS_OK);
    ck_assert(folder_exists(scratch("list/deep/er")) && !file_exists(scratch("list/deep")));
    static const char *const in_order[] = {".hidden", "10", "9", "B", "a", "b", "deep", "\xc3\xa9"};
    static const int created[] = {4, 0, 7, 2, 3, 1, 5};
    for (size_t i = 0; i < 7; i++) {
        char file[PATH_SIZE];
        ck_assert_int_eq(path_join(file, sizeof file, path, in_order[created[i]]), STATUS_OK);
        ck_assert_int_eq(file_write(file, "x", 1), STATUS_OK);
        ck_assert(file_exists(file) && !folder_exists(file));
    }
    ck_assert_int_eq(symlink("nowhere", scratch("list/deep/link")), 0);
    ck_assert_int_eq(folder_list(path, &list), STATUS_OK);
    ck_assert_uint_eq(list.count, 8);
    for (size_t i = 0; i < 8; i++) ck_assert_str_eq(list.name[i], in_order[i]);
    names_free(&list);
    ck_assert_ptr_null(list.name);
    ck_assert_int_eq(folder_list(scratch("list/deep/er"), &list), STATUS_OK);
    ck_assert_uint_eq(list.count, 0);
    names_free(&list);
    ck_assert_int_eq(path_remove(path), STATUS_OK);
    ck_assert(!folder_exists(path));
    ck_assert_int_eq(path_remove(path), STATUS_OK); // a missing one is fine
}
END_TEST

// Removing a folder does not follow links out of it.
START_TEST(removal_stays_inside) {
    ck_assert_int_eq(folder_make(scratch("outside")), STATUS_OK);
    scratch_write(scratch("outside/kept"), "x", 1);
    ck_assert_int_eq(folder_make(scratch("inside")), STATUS_OK);
    ck_assert_int_eq(symlink(scratch("outside"), scratch("inside/link")), 0);
    ck_assert_int_eq(path_remove(scratch("inside")), STATUS_OK);
    ck_assert(!folder_exists(scratch("inside")) && file_exists(scratch("outside/kept")));
}
END_TEST

START_TEST(one_holds_a_folder) {
    char path[PATH_SIZE];
    int first, second;
    strcpy(path, scratch("held"));
    expect_failure(folder_lock(&first, path), STATUS_IO, "lock", "held", "cannot open");
    ck_assert_int_lt(first, 0);
    ck_assert_int_eq(folder_make(path), STATUS_OK);
    ck_assert_int_eq(folder_lock(&first, path), STATUS_OK);
    ck_assert_int_ge(first, 0);
    expect_failure(folder_lock(&second, path), STATUS_IO, "lock", "held", "another radialog");
    ck_assert_int_lt(second, 0);
    ck_assert_int_eq(close(first), 0);
    ck_assert_int_eq(folder_lock(&second, path), STATUS_OK);
    ck_assert_int_eq(close(second), 0);
}
END_TEST

// Of two writers of one name the second is refused, until the first has given the file its own.
START_TEST(one_claims_a_name) {
    char path[PATH_SIZE], other[PATH_SIZE];
    int first, second;
    buffer b = {0};
    struct stat info;
    strcpy(path, scratch("claimed.tmp"));
    strcpy(other, scratch("claimed"));
    scratch_write(path, "left by a killed run", 20);
    ck_assert_int_eq(file_claim(&first, path, 0666), STATUS_OK);
    ck_assert_int_eq(write(first, "first", 5), 5);
    expect_failure(file_claim(&second, path, 0666), STATUS_IO, "claim", "claimed.tmp", "another radialog");
    ck_assert_int_lt(second, 0);
    expect_failure(file_write(other, "x", 1), STATUS_IO, "write", "claimed.tmp", "another radialog");
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(file_claim(&second, path, 0666), STATUS_OK);
    ck_assert_int_eq(close(first), 0);
    ck_assert_int_eq(file_read(other, 0, &b), STATUS_OK);
    ck_assert_str_eq(b.data, "first");
    ck_assert_int_eq(close(second), 0);
    // A secret stays one, whatever a killed run left in its way.
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(file_write_secret(other, "secret", 6), STATUS_OK);
    ck_assert_int_eq(stat(other, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    buffer_free(&b);
}
END_TEST

START_TEST(every_allocation_may_fail) {
    char path[PATH_SIZE];
    strcpy(path, scratch("memory"));
    ck_assert_int_eq(folder_make(path), STATUS_OK);
    for (int i = 0; i < 9; i++) {
        char name[32];
        snprintf(name, sizeof name, "memory/%d", i);
        scratch_write(scratch(name), "text", 4);
    }
    int64_t n = 1;
    for (;; n++) {
        names list = {0};
        buffer b = {0};
        mem_fail_at(n);
        status rc = folder_list(path, &list);
        if (!rc) rc = file_read(scratch("memory/3"), 0, &b);
        mem_fail_at(0);
        names_free(&list);
        buffer_free(&b);
        if (!rc) break;
        expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
        ck_assert_int_lt(n, 100);
    }
    ck_assert_int_gt(n, 10);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {read_and_write,
                                  write_is_atomic,
                                  errors_name_the_path,
                                  folders,
                                  removal_stays_inside,
                                  one_holds_a_folder,
                                  one_claims_a_name,
                                  every_allocation_may_fail,
                                  NULL};
    return run_suite(suite_of("fs", tests));
}
