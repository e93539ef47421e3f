// core/files/hdf5.h: what is written is read back, files depend on nothing else, and what does not
// fit the caller is refused by name. Damaged files: test_hdf5_damage.c.
#include "core/files/deflate.h"
#include "core/files/fs.h"
#include "tests/core/helper_hdf5.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// --- round trips --------------------------------------------------------------------------------

static size_t plain_bytes(const plain *p) {
    size_t bytes = dtype_size(p->type);
    for (int i = 0; i < p->rank; i++) bytes *= (size_t)p->dim[i];
    return bytes;
}

START_TEST(plain_datasets) {
    uint8_t want[DATA_BYTES], got[DATA_BYTES];
    hdf5 *f = sample_open();
    hdf5_shape shape;
    for (unsigned i = 0; i < PLAINS; i++) {
        const plain *p = &plains[i];
        OK(hdf5_look(&shape, f, p->name));
        ck_assert_int_eq(shape.type, p->type);
        ck_assert_int_eq(shape.rank, p->rank);
        for (int k = 0; k < p->rank; k++) ck_assert_int_eq(shape.dim[k], p->dim[k]);
        ck_assert_uint_eq(shape.bytes, plain_bytes(p));
        ck_assert(!shape.chunked);
        ck_assert_int_gt(shape.offset, 0);
        fill(want, sizeof want, i);
        memset(got, 0xee, sizeof got);
        OK(hdf5_read(got, f, p->name, &shape));
        ck_assert_mem_eq(got, want, shape.bytes);
        ck_assert_uint_eq(got[shape.bytes], 0xee);
    }
    OK(hdf5_look(&shape, f, "nothing"));
    ck_assert_int_eq(shape.dim[0], 0);
    ck_assert_int_eq(shape.dim[1], 4);
    ck_assert_uint_eq(shape.bytes, 0);
    ck_assert_int_eq(shape.offset, -1);
    OK(hdf5_read(got, f, "nothing", &shape));
    hdf5_close(f);
}
END_TEST

START_TEST(rows_and_strings) {
    const int64_t dim[] = {6, 2};
    int32_t rows[12];
    char padded[STRINGS * STRING_BYTES] = {0}, got[sizeof padded];
    hdf5 *f = sample_open();
    hdf5_shape shape;
    OK(hdf5_expect(&shape, f, "rows", DTYPE_I32, 2, dim));
    OK(hdf5_read(rows, f, "rows", &shape));
    for (int i = 0; i < 12; i++) ck_assert_int_eq(rows[i], 1000 - 100 * i);
    for (int i = 0; i < STRINGS; i++)
        memcpy(padded + STRING_BYTES * i, strings[i], strlen(strings[i]));
    OK(hdf5_expect_strings(&shape, f, "strings"));
    ck_assert(shape.type == DTYPE_U8 && shape.rank == 2 && !shape.chunked);
    ck_assert_int_eq(shape.dim[0], STRINGS);
    ck_assert_int_eq(shape.dim[1], STRING_BYTES);
    OK(hdf5_read(got, f, "strings", &shape));
    ck_assert_mem_eq(got, padded, sizeof padded);
    hdf5_close(f);
}
END_TEST

// Of other writers (scripts/golden/hdf5_strings.py). Padded with blanks they have no end to be seen.
START_TEST(strings_of_others) {
    static const struct {
        const char *name;
        int size; // 0: refused
        const char *says;
    } cases[] = {
        {"numpy", 7, NULL},
        {"ended", 8, NULL},
        {"blanks", 0, "does not hold strings of one length"},
        {"variable", 0, "does not hold strings of one length"},
        {"chunked", 0, "is stored in chunks"},
        {"square", 0, "is no list of strings"},
        {"absent", 0, "find"},
    };
    hdf5_shape shape;
    hdf5 *f;
    char bytes[16];
    OK(hdf5_open(&f, TEST_DATA "/hdf5/strings.h5"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        status rc = hdf5_expect_strings(&shape, f, cases[i].name);
        if (!cases[i].size) {
            expect_failure(rc, STATUS_FORMAT, cases[i].name, cases[i].name, cases[i].says);
            continue;
        }
        OK(rc);
        ck_assert_int_eq(shape.dim[0], 2);
        ck_assert_int_eq(shape.dim[1], cases[i].size);
        OK(hdf5_read(bytes, f, cases[i].name, &shape));
        ck_assert_int_eq(strncmp(bytes, "one", 7), 0);
        ck_assert_int_eq(strncmp(bytes + cases[i].size, "another", 7), 0);
    }
    hdf5_close(f);
    f = sample_open();
    expect_failure(hdf5_expect_strings(&shape, f, "group/u8"), STATUS_FORMAT, "numbers",
                   "sample.h5", "does not hold strings of one length");
    hdf5_close(f);
}
END_TEST

// A dataset has its place before its numbers, which may then come by other ways.
START_TEST(a_place_at_once) {
    const int64_t dim[] = {1000, 3};
    int64_t size;
    float rows[3];
    hdf5 *f;
    hdf5_shape shape;
    OK(hdf5_create(&f, scratch("place.h5")));
    OK(hdf5_make(f, "later", DTYPE_F32, 2, dim));
    OK(hdf5_finish(f));
    hdf5_close(f);
    OK(hdf5_open(&f, scratch("place.h5")));
    OK(hdf5_expect(&shape, f, "later", DTYPE_F32, 2, dim));
    ck_assert(!shape.chunked);
    ck_assert_int_gt(shape.offset, 0);
    OK(file_size(scratch("place.h5"), &size));
    ck_assert_int_ge(size, shape.offset + 12000);
    hdf5_close(f);
    int fd = open(scratch("place.h5"), O_WRONLY);
    ck_assert_int_eq(pwrite(fd, (float[]){1, 2, 3}, 12, shape.offset + 999 * 12), 12);
    close(fd);
    OK(hdf5_open(&f, scratch("place.h5")));
    float *all = calloc(3000, sizeof *all);
    OK(hdf5_read(all, f, "later", &shape));
    memcpy(rows, all + 2997, sizeof rows);
    free(all);
    ck_assert(rows[0] == 1 && rows[1] == 2 && rows[2] == 3);
    hdf5_close(f);
}
END_TEST

START_TEST(attributes) {
    char text[6];
    int64_t value = 7;
    hdf5 *f = sample_open();
    OK(hdf5_read_int(&value, f, "least"));
    ck_assert_int_eq(value, INT64_MIN);
    OK(hdf5_read_int(&value, f, "most"));
    ck_assert_int_eq(value, INT64_MAX);
    OK(hdf5_read_text(text, f, "text", sizeof text));
    ck_assert_str_eq(text, "caf\xc3\xa9");
    OK(hdf5_read_text(text, f, "empty", sizeof text));
    ck_assert_str_eq(text, "");
    expect_failure(hdf5_read_text(text, f, "text", 5), STATUS_FORMAT, "long", "sample.h5: text",
                   "not a short text");
    expect_failure(hdf5_read_text(text, f, "most", 6), STATUS_FORMAT, "number", "sample.h5: most",
                   "not a short text");
    expect_failure(hdf5_read_int(&value, f, "text"), STATUS_FORMAT, "text", "sample.h5: text",
                   "not a 64-bit integer");
    ck_assert_int_eq(value, 0);
    expect_failure(hdf5_read_int(&value, f, "absent"), STATUS_FORMAT, "absent", "sample.h5",
                   "attribute absent");
    expect_failure(hdf5_read_text(text, f, "absent", 6), STATUS_FORMAT, "absent", "sample.h5",
                   "attribute absent");
    hdf5_close(f);
}
END_TEST

static void expect_records(hdf5 *f, const char *name, int level) {
    uint8_t want[RECORD_BYTES], got[RECORD_BYTES], packed[2 * RECORD_BYTES];
    const int64_t dim[] = {RECORDS, ROWS, COLUMNS};
    hdf5_chunk table[RECORDS];
    hdf5_shape shape;
    deflater *d;
    int fd = open(scratch("sample.h5"), O_RDONLY);
    ck_assert_int_ge(fd, 0);
    OK(deflater_open(&d, 1));
    OK(hdf5_expect(&shape, f, name, DTYPE_U8, 3, dim));
    ck_assert(shape.chunked);
    ck_assert_int_eq(shape.offset, -1);
    ck_assert_uint_eq(shape.bytes, RECORDS * RECORD_BYTES);
    OK(hdf5_chunks(table, f, name, RECORDS, level));
    for (int i = 0; i < RECORDS; i++) {
        size_t size = (size_t)table[i].bytes;
        ck_assert_uint_le(size, sizeof packed);
        ck_assert_int_eq(pread(fd, packed, size, table[i].offset), (ssize_t)size);
        fill(want, sizeof want, 100 + (unsigned)i);
        if (!level) ck_assert_uint_eq(size, sizeof got);
        if (level)
            OK(zlib_expand(d, got, packed, sizeof got, size));
        else
            memcpy(got, packed, size);
        ck_assert_mem_eq(got, want, sizeof want);
    }
    deflater_close(d);
    close(fd);
}

START_TEST(records) {
    hdf5 *f = sample_open();
    expect_records(f, "raw", 0);
    expect_records(f, "packed", 1);
    hdf5_close(f);
}
END_TEST

// Written in two different seconds, so that a time stamp anywhere would show.
START_TEST(the_same_bytes) {
    sample_write(scratch("sample.h5"));
    for (time_t made = time(NULL); time(NULL) == made;) usleep(5000);
    scratch_write(scratch("again.h5"), "what stood here before", 22);
    sample_write(scratch("again.h5"));
    buffer a = {0}, b = {0};
    OK(file_read(scratch("sample.h5"), 0, &a));
    OK(file_read(scratch("again.h5"), 0, &b));
    ck_assert_uint_eq(a.length, b.length);
    for (size_t i = 0; i < a.length; i++)
        ck_assert_msg(a.data[i] == b.data[i], "the files differ from byte %zu on", i);
    buffer_free(&a);
    buffer_free(&b);
}
END_TEST

// --- files that are not what the caller wants ---------------------------------------------------

START_TEST(other_shapes) {
    static const struct {
        const char *name;
        dtype type;
        int rank;
        int64_t dim[HDF5_MAX_RANK];
        const char *says;
    } cases[] = {
        {"f32", DTYPE_F64, 2, {3, 5}, "is F32 (3, 5), must be F64 (3, 5)"},
        {"i8", DTYPE_U8, 5, {2, 3, 1, 2, 2}, "is I8"},
        {"f32", DTYPE_I32, 2, {-1, -1}, "must be I32"},
        {"f32", DTYPE_F32, 1, {3}, "(3, 5), must be F32 (3)"},
        {"f32", DTYPE_F32, 3, {3, 5, 1}, "must be F32 (3, 5, 1)"},
        {"f32", DTYPE_F32, 2, {3, 4}, "must be F32 (3, 4)"},
        {"f32", DTYPE_F32, 2, {4, -1}, "must be F32 (4, -1)"},
        {"raw", DTYPE_U8, 3, {MOST, ROWS, COLUMNS}, "is U8 (3, 11, 16)"},
        {"group/u8", DTYPE_U8, 1, {256}, "is U8 (257)"},
        {"absent", DTYPE_U8, 1, {1}, "find"},
        {"group/absent", DTYPE_U8, 1, {1}, "find"},
        {"absent/u8", DTYPE_U8, 1, {1}, "find"},
        {"group", DTYPE_U8, 1, {1}, "open the dataset"},
        {"f32/inside", DTYPE_U8, 1, {1}, ""},
        {"strings", DTYPE_U8, 1, {4}, "type that is not supported"},
    };
    hdf5 *f = sample_open();
    hdf5_shape shape;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        status rc =
            hdf5_expect(&shape, f, cases[i].name, cases[i].type, cases[i].rank, cases[i].dim);
        expect_failure(rc, STATUS_FORMAT, cases[i].name, "sample.h5", cases[i].says);
        ck_assert_msg(
            strstr(status_text(), strncmp(cases[i].name, "absent", 6) ? cases[i].name : "absent"),
            "'%s' does not name %s", status_text(), cases[i].name);
    }
    OK(hdf5_expect(&shape, f, "f32", DTYPE_F32, 2, (const int64_t[]){-1, 5}));
    OK(hdf5_expect(&shape, f, "f32", DTYPE_F32, 2, (const int64_t[]){3, -1}));
    ck_assert_int_eq(shape.dim[1], 5);
    hdf5_close(f);
}
END_TEST

START_TEST(wrong_records) {
    hdf5_chunk table[MOST];
    hdf5 *f = sample_open();
    expect_failure(hdf5_chunks(table, f, "raw", RECORDS, 1), STATUS_FORMAT, "plain",
                   "sample.h5: raw", "compressed in another way");
    expect_failure(hdf5_chunks(table, f, "packed", RECORDS, 0), STATUS_FORMAT, "packed",
                   "sample.h5: packed", "compressed in another way");
    expect_failure(hdf5_chunks(table, f, "raw", RECORDS + 1, 0), STATUS_FORMAT, "more",
                   "sample.h5: raw", "missing");
    expect_failure(hdf5_chunks(table, f, "raw", RECORDS - 1, 0), STATUS_FORMAT, "fewer",
                   "sample.h5: raw", "missing");
    expect_failure(hdf5_chunks(table, f, "u8", 3, 0), STATUS_FORMAT, "in one piece", "sample.h5",
                   "u8");
    expect_failure(hdf5_chunks(table, f, "absent", 3, 0), STATUS_FORMAT, "absent", "sample.h5",
                   "absent");
    hdf5_close(f);
}
END_TEST

// WRITTEN (ended by -1) of the records, ENDED of them kept (-1: as made).
static status chunks_after(const int *written, int64_t ended, int64_t count) {
    uint8_t raw[RECORD_BYTES] = {1};
    hdf5_chunk table[MOST];
    hdf5 *f;
    OK(hdf5_create(&f, scratch("holes.h5")));
    OK(hdf5_make_records(f, "raw", DTYPE_U8, 3, record_dim, 0));
    for (; *written >= 0; written++) OK(hdf5_write_record(f, "raw", *written, raw, sizeof raw));
    if (ended >= 0) OK(hdf5_end_records(f, "raw", ended));
    OK(hdf5_finish(f));
    hdf5_close(f);
    OK(hdf5_open(&f, scratch("holes.h5")));
    status rc = hdf5_chunks(table, f, "raw", count, 0);
    hdf5_close(f);
    return rc;
}

START_TEST(missing_records) {
    OK(chunks_after((const int[]){0, 1, 2, 3, 4, -1}, -1, 5));
    OK(chunks_after((const int[]){4, 1, 0, 3, 2, -1}, 2, 2));
    OK(chunks_after((const int[]){-1}, 0, 0));
    expect_failure(chunks_after((const int[]){0, 1, 2, -1}, -1, 5), STATUS_FORMAT, "the last",
                   "holes.h5: raw", "missing");
    expect_failure(chunks_after((const int[]){0, 2, -1}, 3, 3), STATUS_FORMAT, "in the middle",
                   "holes.h5: raw", "missing");
    // As many as asked for, but not the first ones.
    expect_failure(chunks_after((const int[]){0, 2, 3, -1}, 4, 3), STATUS_FORMAT, "a hole",
                   "holes.h5: raw", "missing");
    expect_failure(chunks_after((const int[]){-1}, -1, 5), STATUS_FORMAT, "all", "holes.h5: raw",
                   "missing");
}
END_TEST

START_TEST(writing_refused) {
    const int64_t one = 1;
    uint8_t raw[RECORD_BYTES] = {0};
    hdf5 *f;
    expect_failure(hdf5_create(&f, scratch("nowhere/x.h5")), STATUS_IO, "folder", "nowhere/x.h5",
                   "create");
    ck_assert_ptr_null(f);
    expect_failure(hdf5_create(&f, scratch("")), STATUS_IO, "a folder itself", "radialog",
                   "create");
    OK(hdf5_create(&f, scratch("refused.h5")));
    OK(hdf5_write(f, "one", DTYPE_U8, 1, &one, raw));
    OK(hdf5_make_records(f, "raw", DTYPE_U8, 3, record_dim, 0));
    OK(hdf5_write_int(f, "n", 1));
    expect_failure(hdf5_write(f, "one", DTYPE_U8, 1, &one, raw), STATUS_IO, "twice", "refused.h5",
                   "one");
    expect_failure(hdf5_write(f, "no/one", DTYPE_U8, 1, &one, raw), STATUS_IO, "no group",
                   "refused.h5", "no/one");
    expect_failure(hdf5_make_group(f, "one"), STATUS_IO, "taken", "refused.h5", "one");
    expect_failure(hdf5_write_int(f, "n", 2), STATUS_IO, "attribute twice", "refused.h5", "n");
    expect_failure(hdf5_write_rows(f, "one", 1, 1, raw), STATUS_IO, "beyond", "refused.h5", "one");
    expect_failure(hdf5_write_rows(f, "two", 0, 1, raw), STATUS_IO, "absent", "refused.h5", "two");
    expect_failure(hdf5_write_record(f, "raw", MOST, raw, sizeof raw), STATUS_IO, "record beyond",
                   "refused.h5", "raw");
    expect_failure(hdf5_write_record(f, "one", 0, raw, 1), STATUS_IO, "no records", "refused.h5",
                   "one");
    expect_failure(hdf5_end_records(f, "one", 0), STATUS_IO, "no records", "refused.h5", "one");
    hdf5_close(f);
}
END_TEST

static void read_pieces(void) {
    hdf5_shape shape;
    hdf5 *f = sample_open();
    if (!hdf5_look(&shape, f, "raw")) hdf5_read(&shape, f, "raw", &shape);
}

static void write_of(dtype type, int rank, int64_t size) {
    const int64_t dim[6] = {size, 1, 1, 1, 1, 1};
    hdf5 *f;
    if (!hdf5_create(&f, scratch("death.h5"))) hdf5_write(f, "x", type, rank, dim, "");
}

static void write_bf16(void) {
    write_of(DTYPE_BF16, 1, 0);
}
static void write_rank_0(void) {
    write_of(DTYPE_U8, 0, 1);
}
static void write_rank_6(void) {
    write_of(DTYPE_U8, 6, 1);
}
static void write_negative(void) {
    write_of(DTYPE_U8, 1, -1);
}

START_TEST(our_own_mistakes) {
    expect_death(read_pieces, "records read in one piece");
    expect_death(write_bf16, "a type that files do not have");
    expect_death(write_rank_0, "no dimensions");
    expect_death(write_rank_6, "too many dimensions");
    expect_death(write_negative, "a negative size");
}
END_TEST

int main(void) {
    const TTest *const tests[] = {plain_datasets, rows_and_strings, strings_of_others,
                                  a_place_at_once, attributes, records,
                                  the_same_bytes,  other_shapes,     wrong_records, missing_records,
                                  writing_refused, our_own_mistakes, NULL};
    return run_suite(suite_of("hdf5", tests));
}
