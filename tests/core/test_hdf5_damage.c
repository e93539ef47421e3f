// core/files/hdf5.h and files that are no HDF5, cut or damaged: no file does more than fail by
// name. Also too little memory, and several threads.
#include "core/files/fs.h"
#include "tests/core/helper_hdf5.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// --- hostile files ------------------------------------------------------------------------------

START_TEST(no_hdf5) {
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {{"", 0},
                 {"\x89", 1},
                 {"\x89HDF\r\n\x1a\n", 8},
                 {"PK\3\4 a zip file", 15},
                 {"\x89HDF\r\n\x1a\n\2\10\10\0", 12},
                 {"{\"format\": \"text\"}\n", 19}};
    hdf5 *f;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_write(scratch("no.h5"), cases[i].bytes, cases[i].size);
        expect_failure(hdf5_open(&f, scratch("no.h5")), STATUS_FORMAT, "no HDF5", "no.h5",
                       "as an HDF5 file");
        ck_assert_ptr_null(f);
    }
    expect_failure(hdf5_open(&f, scratch("absent.h5")), STATUS_IO, "absent", "absent.h5",
                   "No such");
    expect_failure(hdf5_open(&f, scratch("")), STATUS_IO, "folder", "radialog",
                   "not a regular file");
    ck_assert_ptr_null(f);
    hdf5_close(NULL);
}
END_TEST

START_TEST(cut_short) {
    buffer file = {0};
    hdf5 *f;
    sample_write(scratch("sample.h5"));
    OK(file_read(scratch("sample.h5"), 0, &file));
    scratch_write(scratch("cut.h5"), file.data, file.length);
    for (size_t size = file.length; size-- > 0;) {
        if (size > 64 && size + 8 < file.length && size % 7) continue;
        ck_assert_int_eq(truncate(scratch("cut.h5"), (off_t)size), 0);
        expect_failure(hdf5_open(&f, scratch("cut.h5")), STATUS_FORMAT, "cut", "cut.h5",
                       "as an HDF5 file");
    }
    buffer_free(&file);
}
END_TEST

// A file that shrinks while it is open.
START_TEST(cut_while_open) {
    uint8_t bytes[DATA_BYTES];
    hdf5_shape shape;
    hdf5 *f = sample_open();
    OK(hdf5_look(&shape, f, "group/u8"));
    ck_assert_int_eq(truncate(scratch("sample.h5"), shape.offset + 100), 0);
    expect_failure(hdf5_read(bytes, f, "group/u8", &shape), STATUS_FORMAT, "cut",
                   "sample.h5: group/u8", "ended");
    hdf5_close(f);
}
END_TEST

// Everything that can be asked of a file of SIZE bytes. What is answered lies inside the file.
static int ask_everything(const char *path, size_t size) {
    static const char *const others[] = {"nothing", "rows", "strings", "raw", "packed"};
    char text[16], *bytes = NULL;
    hdf5_chunk table[RECORDS];
    hdf5_shape shape;
    int64_t value;
    int failed = 0;
    hdf5 *f;
    if (hdf5_open(&f, path)) return 1;
    for (size_t i = 0; i < PLAINS + sizeof others / sizeof *others; i++) {
        const char *name = i < PLAINS ? plains[i].name : others[i - PLAINS];
        if (hdf5_look(&shape, f, name)) {
            if (i != PLAINS + 2) failed++; // strings
            continue;
        }
        if (shape.chunked) continue;
        ck_assert_uint_le(shape.bytes, size);
        if (shape.bytes) ck_assert_uint_le((size_t)shape.offset, size - shape.bytes);
        OK(mem_take((void **)&bytes, shape.bytes, 1, "a dataset"));
        OK(hdf5_read(bytes, f, name, &shape));
        mem_free(bytes);
    }
    for (int level = 0; level < 2; level++) {
        status rc = hdf5_chunks(table, f, others[3 + level], RECORDS, level);
        failed += rc != STATUS_OK;
        for (int i = 0; !rc && i < RECORDS; i++) {
            ck_assert_int_ge(table[i].offset, 0);
            ck_assert_int_ge(table[i].bytes, 0);
            ck_assert_int_le(table[i].offset, (int64_t)size - table[i].bytes);
        }
    }
    failed += hdf5_read_int(&value, f, "least") != STATUS_OK;
    failed += hdf5_read_text(text, f, "text", sizeof text) != STATUS_OK;
    hdf5_close(f);
    return failed;
}

// Headers of objects that the library itself loses when they are damaged. What the wrapper forgets
// to close shows as a descriptor that stays open.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

static int next_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    close(fd);
    return fd;
}

// Bytes all over the file, and some numbers of eight, made other than they were. Three is prime to
// the numbers' sizes, so that each of their bytes has its turn.
START_TEST(damaged) {
    static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x10};
    buffer file = {0};
    int failed = 0;
    sample_write(scratch("sample.h5"));
    OK(file_read(scratch("sample.h5"), 0, &file));
    ck_assert_int_eq(ask_everything(scratch("sample.h5"), file.length), 0);
    int fd = open(scratch("sample.h5"), O_WRONLY), next = next_descriptor();
    ck_assert_int_ge(fd, 0);
    for (size_t i = 0; i < file.length; i += i < 1024 ? 1 : 3) {
        char byte = (char)(file.data[i] ^ masks[i / 3 % 4]), wide[8];
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)i), 1);
        failed += ask_everything(scratch("sample.h5"), file.length) != 0;
        if (i % 8 == 0 && i + 8 <= file.length) {
            memset(wide, i % 16 ? 0xff : 0x7f, sizeof wide);
            ck_assert_int_eq(pwrite(fd, wide, sizeof wide, (off_t)i), 8);
            ask_everything(scratch("sample.h5"), file.length);
        }
        size_t rest = file.length - i < 8 ? file.length - i : 8;
        ck_assert_int_eq(pwrite(fd, file.data + i, rest, (off_t)i), (ssize_t)rest);
    }
    ck_assert_int_eq(next_descriptor(), next);
    close(fd);
    ck_assert_int_gt(failed, 100);
    ck_assert_int_eq(ask_everything(scratch("sample.h5"), file.length), 0);
    buffer_free(&file);
}
END_TEST

// The checksum of the format's own tables: Jenkins' lookup3, byte by byte.
static uint32_t lookup3(const uint8_t *k, size_t n) {
#define ROT(x, r) ((x) << (r) | (x) >> (32 - (r)))
    uint32_t s[3];
    s[0] = s[1] = s[2] = 0xdeadbeef + (uint32_t)n;
    for (;; k += 12, n -= 12) {
        for (size_t i = 0; i < 12 && i < n; i++) s[i / 4] += (uint32_t)k[i] << (8 * (i % 4));
        if (n <= 12) break;
        static const int mix[] = {4, 6, 8, 16, 19, 4};
        for (int i = 0; i < 6; i++) {
            uint32_t *a = &s[i % 3], *b = &s[(i + 1) % 3], *c = &s[(i + 2) % 3];
            *a = (*a - *c) ^ ROT(*c, mix[i]);
            *c += *b;
        }
    }
    static const int last[] = {14, 11, 25, 16, 4, 14, 24};
    for (int i = 0; n && i < 7; i++) {
        uint32_t *c = &s[(i + 2) % 3], *b = &s[(i + 1) % 3];
        *c = (*c ^ *b) - ROT(*b, last[i]);
    }
#undef ROT
    return s[2];
}

// In the header of the dataset at PLACE, of BYTES, that place becomes TO, under a right checksum.
static void move_dataset(buffer *file, const hdf5_shape *shape, int64_t to) {
    int64_t size = (int64_t)shape->bytes, found[2] = {shape->offset, size};
    char *layout = memmem(file->data, file->length, found, sizeof found), *head = layout;
    ck_assert_ptr_nonnull(layout);
    while (head > file->data && memcmp(head, "OHDR", 4)) head--;
    ck_assert_int_eq(head[5] & 0x23, 1); // no times, and two bytes for the size
    size_t bytes = 8 + (size_t)(uint8_t)head[6] + 256 * (size_t)(uint8_t)head[7];
    uint32_t sum, was;
    memcpy(&was, head + bytes, sizeof was);
    ck_assert_uint_eq(lookup3((uint8_t *)head, bytes), was);
    memcpy(layout, &to, sizeof to);
    sum = lookup3((uint8_t *)head, bytes);
    memcpy(head + bytes, &sum, sizeof sum);
}

// The library does not look where a dataset is before it is read.
START_TEST(datasets_beyond_the_file) {
    hdf5_shape shape, got;
    buffer file = {0};
    hdf5 *f = sample_open();
    OK(hdf5_look(&shape, f, "group/u8"));
    hdf5_close(f);
    OK(file_read(scratch("sample.h5"), 0, &file));
    const int64_t end = (int64_t)file.length - (int64_t)shape.bytes;
    const int64_t places[] = {end, end + 1, (int64_t)file.length, INT64_MAX, -2, INT64_MIN, -1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        move_dataset(&file, &shape, places[i]);
        scratch_write(scratch("moved.h5"), file.data, file.length);
        OK(hdf5_open(&f, scratch("moved.h5")));
        status rc = hdf5_look(&got, f, "group/u8");
        if (i == 0)
            ck_assert_msg(rc == STATUS_OK && got.offset == end, "%s", status_text());
        else
            expect_failure(rc, STATUS_FORMAT, "moved", "moved.h5", "group/u8");
        hdf5_close(f);
        shape.offset = places[i];
    }
    buffer_free(&file);
}
END_TEST

// --- memory and threads -------------------------------------------------------------------------

START_TEST(without_memory) {
    sample_write(scratch("sample.h5"));
    for (int what = 0; what < 3; what++) {
        int64_t n = 1;
        for (;; n++) {
            hdf5 *f = NULL, *target = NULL;
            if (what == 2) OK(hdf5_create(&target, scratch("memory.h5")));
            mem_fail_at(n);
            status rc = what == 0   ? hdf5_open(&f, scratch("sample.h5"))
                        : what == 1 ? hdf5_create(&f, scratch("memory.h5"))
                                    : hdf5_write_strings(target, "strings", strings, 4);
            mem_fail_at(0);
            if (rc) ck_assert_ptr_null(f);
            hdf5_close(f);
            hdf5_close(target);
            if (!rc) break;
            ck_assert_int_eq(rc, STATUS_MEMORY);
        }
        ck_assert_int_gt(n, 1);
    }
}
END_TEST

// Returns its argument if all went well: assertions belong to the main thread.
static void *read_often(void *path) {
    uint8_t want[DATA_BYTES], got[DATA_BYTES];
    for (int round = 0; round < 20; round++) {
        hdf5_chunk table[RECORDS];
        hdf5_shape shape;
        hdf5 *f;
        if (hdf5_open(&f, path)) return NULL;
        bool good = hdf5_chunks(table, f, "packed", RECORDS, 1) == STATUS_OK;
        for (unsigned i = 0; good && i < PLAINS; i++) {
            fill(want, sizeof want, i);
            good = !hdf5_look(&shape, f, plains[i].name) &&
                   !hdf5_read(got, f, plains[i].name, &shape) && !memcmp(got, want, shape.bytes);
        }
        hdf5_close(f);
        if (!good) return NULL;
    }
    return path;
}

START_TEST(threads) {
    pthread_t thread[4];
    char path[PATH_SIZE];
    void *result;
    sample_write(scratch("sample.h5"));
    snprintf(path, sizeof path, "%s", scratch("sample.h5"));
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, read_often, path), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(thread[i], &result), 0);
        ck_assert_ptr_eq(result, path);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        no_hdf5, cut_short, cut_while_open, damaged, datasets_beyond_the_file, without_memory,
        threads, NULL};
    return run_suite(suite_of("hdf5 damage", tests));
}
