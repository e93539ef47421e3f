// core/files/safetensors.h: what is written is read back, malformed files are refused by name.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/safetensors.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The length, HEADER and DATA zero bytes, as a file.
static const char *make_file(const char *name, const char *header, size_t length, size_t data) {
    const char *path = scratch(name);
    size_t size = 8 + length + data;
    char *bytes = calloc(size, 1);
    for (int i = 0; i < 8; i++) bytes[i] = (char)(length >> (8 * i));
    memcpy(bytes + 8, header, length);
    scratch_write(path, bytes, size);
    free(bytes);
    return path;
}

typedef struct hostile {
    const char *header;
    size_t length, data;
    const char *reason;
} hostile;

#define BAD(text, data, reason)                                                                    \
    { text, sizeof(text) - 1, data, reason }
#define T(dtype, shape, offsets)                                                                   \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const hostile malformed[] = {
    BAD(" {}", 0, "does not start with '{'"),
    BAD("[]", 0, "does not start with '{'"),
    BAD("{ ", 0, "the text ends"),
    BAD("{}x", 0, "nothing after the document"),
    BAD("{}\0", 0, "0x00"),
    BAD("{} \xff", 0, "0xff"),
    BAD("{}", 4, "4 bytes behind the last tensor"),
    BAD("{\"w\":1}", 0, "\"w\" must be an object, is a number"),
    BAD("{\"w\":[1]}", 0, "\"w\" must be an object, is a list"),
    BAD("{\"w\":{}}", 0, "\"w\" lacks the key \"dtype\""),
    BAD("{\"w\":{\"dtype\":\"F32\"}}", 0, "\"w\" lacks the key \"shape\""),
    BAD("{\"w\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "\"w\" lacks the key \"data_offsets\""),
    BAD("{\"w\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4],\"x\":1}}", 4,
        "\"w\" has the unknown key \"x\""),
    BAD("{\"w\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "dtype must be a text"),
    BAD("{\"w\":" T("F32", "4", "[0,4]") "}", 4, "\"w\" shape must be a list"),
    BAD("{\"w\":" T("F32", "[]", "4") "}", 4, "\"w\" data_offsets must be a list"),
    BAD("{\"w\":" T("F32", "[]", "[4]") "}", 4, "list of two"),
    BAD("{\"w\":" T("F32", "[]", "[0,4,4]") "}", 4, "list of two"),
    BAD("{\"w\":" T("F32", "[]", "[0,\"4\"]") "}", 4, "whole numbers"),
    BAD("{\"w\":" T("F32", "[]", "[-4,0]") "}", 4, "whole numbers from 0"),
    BAD("{\"w\":" T("F32", "[]", "[0.5,4.5]") "}", 8, "whole numbers"),
    BAD("{\"w\":" T("F32", "[]", "[4,0]") "}", 4, "not inside"),
    BAD("{\"w\":" T("F32", "[]", "[0,8]") "}", 4, "[0, 8] are not inside the 4 data bytes"),
    BAD("{\"w\":" T("U8", "[5]", "[0,5]") "}", 4, "[0, 5] are not inside the 4 data bytes"),
    BAD("{\"w\":" T("F32", "[]", "[9007199254740991,9007199254740991]") "}", 4, "not inside"),
    BAD("{\"w\":" T("F32", "[]", "[0,18446744073709551616]") "}", 4, "whole numbers"),
    BAD("{\"w\":" T("F32", "[2]", "[0,4]") "}", 4, "span 4 bytes, F32 and shape need 8"),
    BAD("{\"w\":" T("F32", "[1.5]", "[0,4]") "}", 4, "every size"),
    BAD("{\"w\":" T("F32", "[-1]", "[0,4]") "}", 4, "every size"),
    BAD("{\"w\":" T("F32", "[\"1\"]", "[0,4]") "}", 4, "every size"),
    BAD("{\"w\":" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "more elements"),
    BAD("{\"w\":" T("F32", "[4503599627370496,1024]", "[0,0]") "}", 0, "more elements"),
    BAD("{\"w\":" T("F32", "[4503599627370496,4096]", "[0,0]") "}", 0, "more elements"),
    BAD("{\"w\":" T("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "more than 8 dimensions"),
    BAD("{\"w\":" T("F33", "[]", "[0,4]") "}", 4, "\"w\" has the unknown dtype \"F33\""),
    BAD("{\"w\":" T("", "[]", "[0,4]") "}", 4, "unknown dtype"),
    BAD("{\"w\":" T("F4", "[3]", "[0,2]") "}", 2, "span 2 bytes"),
    BAD("{\"w\":" T("F32", "[]", "[0,4]") ",\"w\":" T("F32", "[]", "[4,8]") "}", 8, "given twice"),
    BAD("{\"a\":" T("F32", "[]", "[0,4]") ",\"b\":" T("F32", "[]", "[2,6]") "}", 6,
        "\"b\" overlaps"),
    BAD("{\"a\":" T("F32", "[]", "[0,4]") ",\"b\":" T("F32", "[]", "[0,4]") "}", 4,
        "\"b\" overlaps"),
    BAD("{\"a\":" T("F32", "[]", "[0,4]") ",\"b\":" T("F32", "[0]", "[2,2]") "}", 4,
        "\"b\" overlaps"),
    BAD("{\"a\":" T("F32", "[]", "[0,4]") ",\"b\":" T("F32", "[]", "[8,12]") "}", 12,
        "\"b\" leaves a hole"),
    BAD("{\"a\":" T("F32", "[]", "[4,8]") "}", 8, "\"a\" leaves a hole"),
    BAD("{\"a\":" T("F32", "[]", "[0,4]") "}", 8, "4 bytes behind"),
    BAD("{\"__metadata__\":3}", 0, "__metadata__"),
    BAD("{\"__metadata__\":{\"a\":1}}", 0, "\"a\" must be a text"),
    BAD("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "given twice"),
};

START_TEST(malformed_headers) {
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        const hostile *h = &malformed[i];
        safetensors *s;
        const char *path = make_file("bad.safetensors", h->header, h->length, h->data);
        expect_failure(safetensors_open(&s, path), STATUS_FORMAT, h->header, "bad.safetensors",
                       h->reason);
        ck_assert_ptr_null(s);
    }
}
END_TEST

START_TEST(malformed_lengths) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *reason;
    } cases[] = {
        {"", 0, "too few"},
        {"\2\0\0\0\0\0\0\0{", 9, "too few"},
        {"\0\0\0\0\0\0\0\0{}", 10, "does not start"},
        {"\3\0\0\0\0\0\0\0{}", 10, "cut"},
        {"\0\0\0\6\0\0\0\0{}", 10, "more than the format's limit"},
        {"\2\0\0\0\0\0\0\1{}", 10, "more than the format's limit"},
        {"\377\377\377\377\377\377\377\377{}", 10, "more than the format's limit"},
        {"PK\3\4 a zip file", 15, "more than the format's limit"},
    };
    safetensors *s;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_write(scratch("bad.safetensors"), cases[i].bytes, cases[i].size);
        expect_failure(safetensors_open(&s, scratch("bad.safetensors")), STATUS_FORMAT,
                       cases[i].reason, "bad.safetensors", cases[i].reason);
    }
    expect_failure(safetensors_open(&s, scratch("absent")), STATUS_IO, "absent", "absent",
                   "No such");
    expect_failure(safetensors_open(&s, scratch("")), STATUS_IO, "folder", "radialog",
                   "not a file");
}
END_TEST

// Entries in another order than their data, an empty tensor, foreign types, many dimensions.
START_TEST(unusual_files_are_read) {
    static const char header[] = "{\"b\":" T(
        "F16", "[1,2]",
        "[4,8]") ",\n \"__metadata__\":{\"format\":\"pt\"},"
                 "\"empty\":" T("I64", "[0,9007199254740991,4]", "[4,4]") ",\"a\":" T(
                     "F32", "[]",
                     "[0,4]") ",\"mask\":" T("BOOL", "[3]",
                                             "[8,11]") ",\"half\":" T("F4", "[2]",
                                                                      "[11,12]") ",\"six\""
                                                                                 ":" T(
                                                                                     "U8",
                                                                                     "[1,1,"
                                                                                     "1,1,"
                                                                                     "1,1]",
                                                                                     "[12,"
                                                                                     "13]") "}    ";
    const safetensors_entry *e;
    safetensors *s;
    const char *path = make_file("odd.safetensors", header, sizeof header - 1, 13);
    ck_assert_msg(safetensors_open(&s, path) == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(safetensors_count(s), 6);
    static const char *const order[] = {"a", "empty", "b", "mask", "half", "six"};
    for (size_t i = 0; i < 6; i++) ck_assert_str_eq(safetensors_at(s, i)->name, order[i]);
    ck_assert_int_eq(safetensors_find(&e, s, "b"), STATUS_OK);
    ck_assert(e->type == DTYPE_F16 && e->rank == 2 && e->dim[1] == 2 && e->bytes == 4);
    ck_assert((const char *)e->data == (const char *)safetensors_at(s, 0)->data + 4);
    ck_assert_int_eq(safetensors_find(&e, s, "empty"), STATUS_OK);
    ck_assert(e->bytes == 0 && e->rank == 3);
    expect_failure(safetensors_find(&e, s, "mask"), STATUS_FORMAT, "mask", "\"mask\"", "BOOL");
    expect_failure(safetensors_find(&e, s, "half"), STATUS_FORMAT, "half", "odd.safetensors", "F4");
    expect_failure(safetensors_find(&e, s, "six"), STATUS_FORMAT, "six", "\"six\"", "6 dimensions");
    expect_failure(safetensors_find(&e, s, "none"), STATUS_FORMAT, "none", "odd.safetensors",
                   "\"none\"");
    ck_assert_ptr_null(e);
    ck_assert_ptr_nonnull(safetensors_lookup(s, "mask"));
    ck_assert_str_eq(safetensors_lookup(s, "mask")->type_name, "BOOL");
    ck_assert_ptr_null(safetensors_lookup(s, "__metadata__"));
    ck_assert_str_eq(safetensors_note(s, "format"), "pt");
    ck_assert_ptr_null(safetensors_note(s, "absent"));
    safetensors_close(s);
}
END_TEST

static const float weights[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
static const uint8_t pixels[3] = {7, 8, 9};

static status write_sample(const char *path) {
    safetensors_writer *w = NULL;
    static const int64_t shape[] = {2, 3}, none[] = {4, 0}, row[] = {3};
    status rc = safetensors_create(&w, path);
    if (!rc) rc = safetensors_declare_note(w, "format", "pt");
    if (!rc) rc = safetensors_declare_note(w, "step", "\"12\"\n");
    if (!rc) rc = safetensors_declare(w, "z.first", DTYPE_F32, 0, NULL);
    if (!rc) rc = safetensors_declare(w, "nothing", DTYPE_I64, 2, none);
    if (!rc) rc = safetensors_declare(w, "a.second \"quoted\"", DTYPE_F32, 2, shape);
    if (!rc) rc = safetensors_declare(w, "pixels", DTYPE_U8, 1, row);
    if (!rc) rc = safetensors_declare(w, "nothing again", DTYPE_U8, 2, none);
    if (!rc) rc = safetensors_write(w, "z.first", weights, 4);
    if (!rc) rc = safetensors_write(w, "nothing", NULL, 0);
    if (!rc) rc = safetensors_write(w, "a.second \"quoted\"", weights, 10);
    if (!rc) rc = safetensors_write(w, "a.second \"quoted\"", (const char *)weights + 10, 14);
    if (!rc) rc = safetensors_write(w, "pixels", pixels, 3);
    if (!rc) rc = safetensors_finish(w);
    safetensors_writer_close(w);
    return rc;
}

START_TEST(written_is_read_back) {
    const char *path = scratch("sample.safetensors"), *value;
    const safetensors_entry *e;
    safetensors *s;
    ck_assert_int_eq(write_sample(path), STATUS_OK);
    ck_assert(!file_exists(scratch("sample.safetensors.tmp")));
    ck_assert_msg(safetensors_open(&s, path) == STATUS_OK, "%s", status_text());
    ck_assert_uint_eq(safetensors_count(s), 5);
    static const char *const order[] = {"z.first", "nothing", "a.second \"quoted\"",
                                        "nothing again", "pixels"};
    ck_assert_str_eq(safetensors_at(s, 0)->name, order[0]);
    ck_assert_str_eq(safetensors_at(s, 1)->name, order[1]);
    ck_assert_str_eq(safetensors_at(s, 2)->name, order[2]);
    ck_assert_int_eq(safetensors_find(&e, s, "a.second \"quoted\""), STATUS_OK);
    ck_assert(e->type == DTYPE_F32 && e->rank == 2 && e->dim[0] == 2 && e->dim[1] == 3);
    ck_assert_mem_eq(e->data, weights, sizeof weights);
    ck_assert_int_eq(safetensors_find(&e, s, "pixels"), STATUS_OK);
    ck_assert_mem_eq(e->data, pixels, 3);
    ck_assert_int_eq(safetensors_find(&e, s, "z.first"), STATUS_OK);
    ck_assert_int_eq(e->rank, 0);
    ck_assert_uint_eq((uintptr_t)e->data % 8, 0);
    ck_assert_uint_eq(safetensors_note_count(s), 2);
    ck_assert_str_eq(safetensors_note_at(s, 1, &value), "step");
    ck_assert_str_eq(value, "\"12\"\n");
    safetensors_close(s);
}
END_TEST

// The bytes are a contract: the header as declared, padded with spaces, then the data.
START_TEST(bytes_are_determined) {
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"step\":\"\\\"12\\\"\\n\"},"
        "\"z.first\":" T("F32", "[]", "[0,4]") ",\"nothing\":" T(
            "I64", "[4,0]",
            "[4,4]") ",\"a.second \\\"quoted\\\"\":" T("F32", "[2,3]",
                                                       "[4,28]") ",\"pixels\":" T("U8", "[3]",
                                                                                  "[28,31]") ",\"no"
                                                                                             "thing"
                                                                                             " agai"
                                                                                             "n\""
                                                                                             ":" T(
                                                                                                 "U"
                                                                                                 "8",
                                                                                                 "["
                                                                                                 "4"
                                                                                                 ","
                                                                                                 "0"
                                                                                                 "]",
                                                                                                 "["
                                                                                                 "3"
                                                                                                 "1"
                                                                                                 ","
                                                                                                 "3"
                                                                                                 "1"
                                                                                                 "]") "}";
    buffer first = {0}, second = {0};
    const char *path = scratch("sample.safetensors");
    ck_assert_int_eq(write_sample(path), STATUS_OK);
    ck_assert_int_eq(file_read(path, 0, &first), STATUS_OK);
    ck_assert_int_eq(write_sample(path), STATUS_OK);
    ck_assert_int_eq(file_read(path, 0, &second), STATUS_OK);
    ck_assert_uint_eq(first.length, second.length);
    ck_assert_mem_eq(first.data, second.data, first.length);
    size_t length = sizeof header - 1, padded = (length + 7) / 8 * 8;
    ck_assert_uint_eq((unsigned char)first.data[0], padded & 0xff);
    ck_assert_uint_eq((unsigned char)first.data[1], padded >> 8);
    ck_assert_mem_eq(first.data + 8, header, length);
    for (size_t i = length; i < padded; i++) ck_assert_int_eq(first.data[8 + i], ' ');
    ck_assert_uint_eq(first.length, 8 + padded + 31);
    ck_assert_mem_eq(first.data + 8 + padded, weights, 4);
    buffer_free(&first);
    buffer_free(&second);
}
END_TEST

START_TEST(no_tensor_is_a_file_too) {
    safetensors_writer *w;
    safetensors *s;
    const char *path = scratch("none.safetensors");
    ck_assert_int_eq(safetensors_create(&w, path), STATUS_OK);
    ck_assert_int_eq(safetensors_finish(w), STATUS_OK);
    safetensors_writer_close(w);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(safetensors_open(&s, path), STATUS_OK);
        ck_assert_uint_eq(safetensors_count(s), 0);
        ck_assert_ptr_null(safetensors_note(s, "format"));
        ck_assert_uint_eq(safetensors_note_count(s), 0);
        ck_assert_ptr_null(safetensors_lookup(s, "w"));
        safetensors_close(s);
        path = make_file("empty.safetensors", "{}", 2, 0);
    }
}
END_TEST

START_TEST(an_abandoned_file_leaves_the_old_one) {
    safetensors_writer *w;
    const char *path = scratch("kept.safetensors");
    scratch_write(path, "old", 3);
    ck_assert_int_eq(safetensors_create(&w, path), STATUS_OK);
    ck_assert(file_exists(scratch("kept.safetensors.tmp")));
    ck_assert_int_eq(safetensors_declare(w, "w", DTYPE_F32, 0, NULL), STATUS_OK);
    ck_assert_int_eq(safetensors_write(w, "w", weights, 4), STATUS_OK);
    safetensors_writer_close(w);
    int64_t size = 0;
    ck_assert_int_eq(file_size(path, &size), STATUS_OK);
    ck_assert_int_eq(size, 3);
    ck_assert(!file_exists(scratch("kept.safetensors.tmp")));
    expect_failure(safetensors_create(&w, scratch("no/folder")), STATUS_IO, "no folder",
                   "no/folder", "No such file");
    ck_assert_int_eq(folder_make(scratch("taken")), STATUS_OK);
    ck_assert_int_eq(safetensors_create(&w, scratch("taken")), STATUS_OK);
    expect_failure(safetensors_finish(w), STATUS_IO, "taken", "taken", "rename");
    safetensors_writer_close(w);
    ck_assert(!file_exists(scratch("taken.tmp")));
}
END_TEST

static void write_other_order(void) {
    safetensors_writer *w;
    safetensors_create(&w, scratch("dead"));
    safetensors_declare(w, "a", DTYPE_F32, 0, NULL);
    safetensors_declare(w, "b", DTYPE_F32, 0, NULL);
    safetensors_write(w, "b", weights, 4);
}
static void write_too_much(void) {
    safetensors_writer *w;
    safetensors_create(&w, scratch("dead"));
    safetensors_declare(w, "a", DTYPE_F32, 0, NULL);
    safetensors_write(w, "a", weights, 8);
}
static void write_too_little(void) {
    safetensors_writer *w;
    safetensors_create(&w, scratch("dead"));
    safetensors_declare(w, "a", DTYPE_F32, 0, NULL);
    safetensors_write(w, "a", weights, 3);
    safetensors_finish(w);
}
static void declare_twice(void) {
    safetensors_writer *w;
    safetensors_create(&w, scratch("dead"));
    safetensors_declare(w, "a", DTYPE_F32, 0, NULL);
    safetensors_declare(w, "a", DTYPE_F32, 0, NULL);
    safetensors_write(w, "a", weights, 4);
}

START_TEST(our_own_bugs_die) {
    expect_death(write_other_order, "other order");
    expect_death(write_too_much, "too much");
    expect_death(write_too_little, "too little");
    expect_death(declare_twice, "twice");
}
END_TEST

START_TEST(every_allocation_may_fail) {
    int64_t n = 1;
    for (;; n++) {
        const char *path = scratch("memory.safetensors");
        safetensors *s = NULL;
        mem_fail_at(n);
        status rc = write_sample(path);
        if (!rc) rc = safetensors_open(&s, path);
        mem_fail_at(0);
        safetensors_close(s);
        ck_assert(!file_exists(scratch("memory.safetensors.tmp")));
        if (!rc) break;
        expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
        ck_assert_int_lt(n, 2000);
    }
    ck_assert_int_gt(n, 50);
}
END_TEST

// Every accepted file is read to its last byte, so that the sanitizer sees a bound that is wrong.
static unsigned touch_all(const safetensors *s) {
    unsigned sum = 0;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const safetensors_entry *e = safetensors_at(s, i);
        for (size_t k = 0; k < e->bytes; k++) sum += ((const unsigned char *)e->data)[k];
        ck_assert_ptr_eq(safetensors_lookup(s, e->name), e);
    }
    return sum;
}

START_TEST(mutated_files) {
    buffer sample = {0};
    uint64_t state = 99;
    int accepted = 0;
    const char *path = scratch("fuzz.safetensors");
    ck_assert_int_eq(write_sample(path), STATUS_OK);
    ck_assert_int_eq(file_read(path, 0, &sample), STATUS_OK);
    for (int i = 0; i < 3000; i++) {
        buffer file = {0};
        safetensors *s;
        buffer_append(&file, sample.data, sample.length);
        fuzz_mutate(&file, &state);
        scratch_write(path, file.data, file.length);
        status rc = safetensors_open(&s, path);
        if (rc) {
            expect_failure(rc, STATUS_FORMAT, "fuzz", "fuzz.safetensors", NULL);
        } else {
            touch_all(s);
            accepted++;
        }
        safetensors_close(s);
        buffer_free(&file);
    }
    ck_assert_int_gt(accepted, 20);
    ck_assert_int_lt(accepted, 1500);
    buffer_free(&sample);
}
END_TEST

// A file cut anywhere is refused.
START_TEST(cut_files) {
    buffer sample = {0};
    safetensors *s;
    const char *path = scratch("cut.safetensors");
    ck_assert_int_eq(write_sample(path), STATUS_OK);
    ck_assert_int_eq(file_read(path, 0, &sample), STATUS_OK);
    for (size_t size = 0; size < sample.length; size++) {
        scratch_write(path, sample.data, size);
        expect_failure(safetensors_open(&s, path), STATUS_FORMAT, "cut", "cut.safetensors", NULL);
    }
    buffer_free(&sample);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {malformed_headers,
                                  malformed_lengths,
                                  unusual_files_are_read,
                                  written_is_read_back,
                                  bytes_are_determined,
                                  no_tensor_is_a_file_too,
                                  an_abandoned_file_leaves_the_old_one,
                                  our_own_bugs_die,
                                  every_allocation_may_fail,
                                  mutated_files,
                                  cut_files,
                                  NULL};
    return run_suite(suite_of("safetensors", tests));
}
