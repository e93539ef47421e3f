// core/files/torch_writer.h and core/files/zip_writer.h: what they write is read back by our reader
// of PyTorch's files, number by number; the bytes are determined; nothing half written is left.
// scripts/check_export.py has PyTorch read the same.
#include "core/checksum.h"
#include "core/files/fs.h"
#include "core/files/torch_file.h"
#include "core/files/torch_writer.h"
#include "core/files/weights.h"
#include "core/files/zip_archive.h"
#include "core/files/zip_writer.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of all types, shapes whose sizes need each of the opcodes, and none.
enum { LARGEST = 70001 };
static const struct {
    const char *name;
    element_type type;
    int rank;
    int64_t dim[8];
} samples[] = {
    {"nothing", ELEMENT_F32, 2, {4, 0}},
    {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", ELEMENT_F32, 2, {2, 3}},
    {"one", ELEMENT_F64, 0, {0}},
    {"half", ELEMENT_F16, 1, {255}},
    {"brain", ELEMENT_BF16, 2, {256, 1}},
    {"long", ELEMENT_I64, 3, {1, 2, 3}},
    {"int", ELEMENT_I32, 1, {LARGEST}},
    {"short", ELEMENT_I16, 8, {1, 2, 1, 2, 1, 2, 1, 2}},
    {"nothing again", ELEMENT_U8, 1, {0}},
    {"char", ELEMENT_I8, 2, {65535, 1}},
    {"byte \"quoted\", \xc3\xa9", ELEMENT_U8, 1, {65536}},
    {"flags", ELEMENT_BOOL, 1, {5}},
};
enum { SAMPLES = sizeof samples / sizeof *samples };
static unsigned char numbers[4 * LARGEST]; // of all tensors, from the first byte on

static size_t bytes_of(int i) {
    size_t bytes = element_size(samples[i].type);
    for (int k = 0; k < samples[i].rank; k++) bytes *= (size_t)samples[i].dim[k];
    return bytes;
}

static void draw_numbers(void) {
    uint64_t state = 7;
    for (size_t i = 0; i < sizeof numbers; i++) numbers[i] = (unsigned char)(fuzz_next(&state) & 1);
}

// In pieces of PIECE bytes.
static status write_samples(const char *path, size_t piece, uint64_t limit) {
    torch_writer *w = NULL;
    status rc = torch_create(&w, path);
    if (!rc && limit) torch_writer_limit(w, limit);
    for (int i = 0; i < SAMPLES && !rc; i++)
        rc = torch_declare(w, samples[i].name, samples[i].type, samples[i].rank, samples[i].dim);
    for (int i = 0; i < SAMPLES && !rc; i++)
        for (size_t at = 0, bytes = bytes_of(i); at < bytes && !rc; at += piece)
            rc = torch_write(w, samples[i].name, numbers + at,
                             bytes - at < piece ? bytes - at : piece);
    if (!rc) rc = torch_finish(w);
    torch_writer_close(w);
    return rc;
}

static void expect_samples(const char *path) {
    weights *w;
    ck_assert_msg(weights_open(&w, path) == STATUS_OK, "%s", status_text());
    ck_assert_str_eq(weights_format(w), "PyTorch zip");
    ck_assert_uint_eq(weights_count(w), SAMPLES);
    for (int i = 0; i < SAMPLES; i++) {
        uint32_t crc;
        const weight_entry *e = weights_at(w, (size_t)i);
        ck_assert_str_eq(e->name, samples[i].name);
        ck_assert(e->type == samples[i].type && e->rank == samples[i].rank);
        for (int k = 0; k < e->rank; k++) ck_assert_int_eq(e->dim[k], samples[i].dim[k]);
        ck_assert_msg(!weights_checksum(w, e, &crc), "%s", status_text());
        ck_assert_msg(crc == checksum_crc32(0, numbers, bytes_of(i)), "%s: other numbers", e->name);
    }
    weights_close(w);
}

START_TEST(written_is_read_back) {
    draw_numbers();
    static const size_t pieces[] = {sizeof numbers, 4096, 1009};
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(!write_samples(scratch("sample.bin"), pieces[i], 0), "%s", status_text());
        ck_assert(!file_exists(scratch("sample.bin.tmp")));
        expect_samples(scratch("sample.bin"));
    }
}
END_TEST

// --- the archive ---------------------------------------------------------------------------------
// The field that torch pads with brings every content to a multiple of 64 bytes, also behind
// zip64's.
static void expect_aligned(const buffer *file, size_t count) {
    zip_archive *z;
    ck_assert_msg(!zip_open(&z, "sample", (const unsigned char *)file->data, file->length), "%s",
                  status_text());
    ck_assert_uint_eq(zip_count(z), count);
    ck_assert_str_eq(zip_first(z)->name, "archive/data.pkl");
    for (size_t i = 0; i < count; i++) {
        const zip_entry *e = zip_at(z, i);
        ck_assert_msg((size_t)(e->packed - (const unsigned char *)file->data) % ZIP_ALIGNMENT == 0,
                      "%s", e->name);
        ck_assert(!e->deflated);
    }
    zip_close(z);
}

static bool holds(const buffer *b, const char *part, size_t length) {
    return memmem(b->data, b->length, part, length) != NULL;
}

// Sizes, places and the directory in fields of 64 bits: all, none, those beyond the first tensors.
START_TEST(large_archives) {
    draw_numbers();
    static const uint64_t limits[] = {1, 300, 3000, 100000, 300000, 500000, 0xffffffff};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        buffer file = {0};
        const char *path = scratch("large.bin");
        ck_assert_msg(!write_samples(path, 1 << 20, limits[i]), "%s", status_text());
        expect_samples(path);
        ck_assert_int_eq(file_read(path, 0, &file), STATUS_OK);
        expect_aligned(&file, 3 + SAMPLES);
        ck_assert(holds(&file, "PK\6\6", 4) == (limits[i] < 500000));
        buffer_free(&file);
    }
}
END_TEST

// More entries than 16 bits count.
START_TEST(many_tensors) {
    enum { MANY = 65536 };
    char name[32];
    torch_writer *w;
    weights *again;
    float value;
    ck_assert_int_eq(torch_create(&w, scratch("many.bin")), STATUS_OK);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < MANY; i++) {
            value = (float)i;
            snprintf(name, sizeof name, "t%d", i);
            ck_assert_msg(!(pass ? torch_write(w, name, &value, sizeof value)
                                 : torch_declare(w, name, ELEMENT_F32, 0, NULL)),
                          "%s", status_text());
        }
    ck_assert_int_eq(torch_finish(w), STATUS_OK);
    torch_writer_close(w);
    ck_assert_msg(!weights_open(&again, scratch("many.bin")), "%s", status_text());
    ck_assert_uint_eq(weights_count(again), MANY);
    for (int i = 0; i < MANY; i += 4111) {
        ck_assert_int_eq(weights_read_f32(again, weights_at(again, (size_t)i), &value), STATUS_OK);
        ck_assert(value == (float)i);
    }
    weights_close(again);
}
END_TEST

// --- bytes ---------------------------------------------------------------------------------------
// The pickle as torch.save's, without the memo that Python keeps.
START_TEST(bytes_are_determined) {
    static const char object[] = "\x80\x02}(X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(("
                                 "X\7\0\0\0storagectorch\nHalfStorage\n"
                                 "X\1\0\0\0"
                                 "0X\3\0\0\0cpuM\x2c\1tQK\0(K\3Kdt(KdK\1t\x89"
                                 "ccollections\nOrderedDict\n)RtRu.";
    buffer file[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        torch_writer *w;
        const char *path = scratch(i ? "b" : "a");
        ck_assert_int_eq(torch_create(&w, path), STATUS_OK);
        ck_assert_int_eq(torch_declare(w, "w", ELEMENT_F16, 2, (int64_t[]){3, 100}), STATUS_OK);
        ck_assert_int_eq(torch_write(w, "w", numbers, 600), STATUS_OK);
        ck_assert_int_eq(torch_finish(w), STATUS_OK);
        torch_writer_close(w);
        ck_assert_int_eq(file_read(path, 0, &file[i]), STATUS_OK);
    }
    ck_assert_uint_eq(file[0].length, file[1].length);
    ck_assert_mem_eq(file[0].data, file[1].data, file[0].length);
    ck_assert(holds(&file[0], object, sizeof object - 1));
    ck_assert(holds(&file[0], "little", 6) && holds(&file[0], "3\n", 2));
    expect_aligned(&file[0], 4);
    buffer_free(&file[0]);
    buffer_free(&file[1]);
}
END_TEST

START_TEST(no_tensor_is_a_file_too) {
    torch_writer *w;
    weights *again;
    ck_assert_int_eq(torch_create(&w, scratch("none.bin")), STATUS_OK);
    ck_assert_int_eq(torch_finish(w), STATUS_OK);
    torch_writer_close(w);
    ck_assert_msg(!weights_open(&again, scratch("none.bin")), "%s", status_text());
    ck_assert_uint_eq(weights_count(again), 0);
    weights_close(again);
}
END_TEST

// --- failures ------------------------------------------------------------------------------------
START_TEST(an_abandoned_file_leaves_the_old_one) {
    torch_writer *w;
    int64_t size = 0;
    const char *path = scratch("kept.bin");
    scratch_write(path, "old", 3);
    ck_assert_int_eq(torch_create(&w, path), STATUS_OK);
    ck_assert(file_exists(scratch("kept.bin.tmp")));
    ck_assert_int_eq(torch_declare(w, "w", ELEMENT_F32, 0, NULL), STATUS_OK);
    ck_assert_int_eq(torch_write(w, "w", numbers, 4), STATUS_OK);
    torch_writer_close(w);
    ck_assert_int_eq(file_size(path, &size), STATUS_OK);
    ck_assert_int_eq(size, 3);
    ck_assert(!file_exists(scratch("kept.bin.tmp")));
    expect_failure(torch_create(&w, scratch("no/folder")), STATUS_IO, "no folder", "no/folder",
                   "No such file");
    ck_assert_int_eq(folder_make(scratch("taken")), STATUS_OK);
    ck_assert_int_eq(torch_create(&w, scratch("taken")), STATUS_OK);
    expect_failure(torch_finish(w), STATUS_IO, "taken", "taken", "rename");
    torch_writer_close(w);
    ck_assert(!file_exists(scratch("taken.tmp")));
}
END_TEST

static torch_writer *dying(int tensors, const char *second) {
    torch_writer *w;
    torch_create(&w, scratch("dead"));
    for (int i = 0; i < tensors; i++) torch_declare(w, i ? second : "a", ELEMENT_F32, 0, NULL);
    return w;
}
static void write_other_order(void) {
    torch_write(dying(2, "b"), "b", numbers, 4);
}
static void write_too_much(void) {
    torch_write(dying(1, NULL), "a", numbers, 8);
}
static void write_too_little(void) {
    torch_writer *w = dying(1, NULL);
    torch_write(w, "a", numbers, 3);
    torch_finish(w);
}
static void write_nothing(void) {
    torch_finish(dying(1, NULL));
}
static void declare_twice(void) {
    torch_write(dying(2, "a"), "a", numbers, 4);
}
static void declare_late(void) {
    torch_writer *w = dying(1, NULL);
    torch_write(w, "a", numbers, 3);
    torch_declare(w, "b", ELEMENT_F32, 0, NULL);
}
static void declare_too_much(void) {
    torch_declare(dying(0, NULL), "a", ELEMENT_F32, 3, (int64_t[]){1LL << 40, 1LL << 40, 2});
}

START_TEST(our_own_bugs_die) {
    expect_death(write_other_order, "other order");
    expect_death(write_too_much, "too much");
    expect_death(write_too_little, "too little");
    expect_death(write_nothing, "nothing");
    expect_death(declare_twice, "twice");
    expect_death(declare_late, "late");
    expect_death(declare_too_much, "too much declared");
}
END_TEST

START_TEST(every_allocation_may_fail) {
    int64_t n = 1;
    for (;; n++) {
        const char *path = scratch("memory.bin");
        mem_fail_at(n);
        status rc = write_samples(path, 1 << 20, 1);
        mem_fail_at(0);
        ck_assert(!file_exists(scratch("memory.bin.tmp")));
        if (!rc) break;
        expect_failure(rc, STATUS_MEMORY, "allocation", NULL, "memory");
        ck_assert_int_lt(n, 2000);
    }
    ck_assert_int_gt(n, 50);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {written_is_read_back,
                                  large_archives,
                                  many_tensors,
                                  bytes_are_determined,
                                  no_tensor_is_a_file_too,
                                  an_abandoned_file_leaves_the_old_one,
                                  our_own_bugs_die,
                                  every_allocation_may_fail,
                                  NULL};
    return run_suite(suite_of("torch_writer", tests));
}
