// core/files/gguf.h: what is written is read back, places and paddings are as the format says,
// damaged files are refused by name.
#include "core/files/fs.h"
#include "core/files/gguf.h"
#include "tests/core/helper_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const float numbers[6] = {1, -2, 3.5f, 0, 1e-3f, 65504};
static const uint16_t halves[5] = {0x3c00, 0xc000, 0, 0x7bff, 1};

static const char *make(const char *name) {
    const char *path = scratch(name);
    gguf_writer *w;
    ck_assert_int_eq(gguf_create(&w, path), 0);
    ck_assert_int_eq(gguf_note_text(w, "general.architecture", "llama"), 0);
    ck_assert_int_eq(gguf_note_f32(w, "adapter.lora.alpha", 16.5f), 0);
    ck_assert_int_eq(gguf_note_u32(w, "general.file_type", 4000000000u), 0);
    ck_assert_int_eq(gguf_declare(w, "wide", DTYPE_F32, 2, (int64_t[]){2, 3}), 0);
    ck_assert_int_eq(gguf_declare(w, "narrow", DTYPE_F16, 1, (int64_t[]){5}), 0);
    ck_assert_int_eq(gguf_write(w, "wide", numbers, sizeof numbers), 0);
    ck_assert_int_eq(gguf_write(w, "narrow", halves, sizeof halves), 0);
    ck_assert(!file_exists(path));
    ck_assert_int_eq(gguf_finish(w), 0);
    gguf_writer_close(w);
    return path;
}

START_TEST(round_trip) {
    gguf *g;
    double number = 0;
    ck_assert_int_eq(gguf_open(&g, make("round.gguf")), 0);
    ck_assert_str_eq(gguf_text(g, "general.architecture"), "llama");
    ck_assert(gguf_number(g, "adapter.lora.alpha", &number) && number == 16.5);
    ck_assert(gguf_number(g, "general.file_type", &number) && number == 4e9);
    ck_assert(!gguf_number(g, "general.architecture", &number) && !gguf_text(g, "none"));
    ck_assert_uint_eq(gguf_count(g), 2);
    const gguf_entry *e = gguf_lookup(g, "wide");
    ck_assert(e && e == gguf_at(g, 0) && e->type == DTYPE_F32 && e->rank == 2);
    ck_assert(e->dim[0] == 2 && e->dim[1] == 3 && e->bytes == sizeof numbers);
    ck_assert_mem_eq(e->data, numbers, sizeof numbers);
    e = gguf_lookup(g, "narrow");
    ck_assert(e && e->type == DTYPE_F16 && e->rank == 1 && e->dim[0] == 5);
    ck_assert_mem_eq(e->data, halves, sizeof halves);
    gguf_close(g);
}
END_TEST

// Byte by byte, as docs/gguf.md has it: another reader than ours must find the same.
START_TEST(layout) {
    static const unsigned char head[] = {'G', 'G', 'U', 'F', 3, 0, 0, 0, 2, 0, 0,
                                         0,   0,   0,   0,   0, 3, 0, 0, 0, 0, 0,
                                         0,   0,   20,  0,   0, 0, 0, 0, 0, 0, 'g'};
    static const unsigned char table[] = {4, 0, 0, 0, 0, 0, 0, 0, 'w', 'i', 'd', 'e', 2, 0, 0,
                                          0, 3, 0, 0, 0, 0, 0, 0, 0,   2,   0,   0,   0, 0, 0,
                                          0, 0, 0, 0, 0, 0, 0, 0, 0,   0,   0,   0,   0, 0};
    buffer file = {0};
    bool found = false;
    ck_assert_int_eq(file_read(make("layout.gguf"), 0, &file), 0);
    ck_assert_mem_eq(file.data, head, sizeof head);
    for (size_t i = 0; i + sizeof table <= file.length && !found; i++)
        found = !memcmp(file.data + i, table, sizeof table);
    ck_assert(found);
    // 24 bytes, padded to 32; 10 bytes, padded to 32: the last 64 of a file whose length is a
    // multiple.
    ck_assert_uint_eq(file.length % GGUF_ALIGNMENT, 0);
    ck_assert_mem_eq(file.data + file.length - 64, numbers, sizeof numbers);
    ck_assert_mem_eq(file.data + file.length - 32, halves, sizeof halves);
    buffer_free(&file);
}
END_TEST

START_TEST(cut_anywhere) {
    buffer file = {0};
    gguf *g;
    ck_assert_int_eq(file_read(make("whole.gguf"), 0, &file), 0);
    const size_t needed = file.length - 32 + sizeof halves;
    for (size_t i = 0; i < needed; i++) {
        const char *path = scratch("cut.gguf");
        scratch_write(path, file.data, i);
        ck_assert_msg(gguf_open(&g, path) == STATUS_FORMAT && !g, "cut to %zu bytes", i);
        ck_assert_ptr_nonnull(strstr(status_text(), "cut.gguf"));
        expect_clean_text("cut");
    }
    buffer_free(&file);
}
END_TEST

START_TEST(damaged) {
    buffer file = {0};
    uint64_t seed = 7;
    int opened = 0;
    ck_assert_int_eq(file_read(make("sound.gguf"), 0, &file), 0);
    for (int i = 0; i < 1000; i++) {
        buffer other = {0};
        gguf *g;
        buffer_append(&other, file.data, file.length);
        fuzz_mutate(&other, &seed);
        const char *path = scratch("damaged.gguf");
        scratch_write(path, other.data, other.length);
        status rc = gguf_open(&g, path);
        ck_assert(rc == STATUS_OK || rc == STATUS_FORMAT);
        if (rc) expect_clean_text("damaged");
        uint32_t sum = 0;
        for (size_t k = 0; !rc && k < gguf_count(g); k++)
            for (size_t b = 0; gguf_at(g, k)->data && b < gguf_at(g, k)->bytes; b++)
                sum += ((const unsigned char *)gguf_at(g, k)->data)[b];
        opened += !rc && sum;
        gguf_close(g);
        buffer_free(&other);
    }
    ck_assert_int_gt(opened, 30);
    buffer_free(&file);
}
END_TEST

START_TEST(other_places) {
    gguf_writer *w;
    gguf *g;
    ck_assert_int_eq(gguf_open(&g, scratch("nowhere.gguf")), STATUS_IO);
    ck_assert_int_eq(gguf_create(&w, "/nowhere/at/all.gguf"), STATUS_IO);
    ck_assert_ptr_null(w);
    const char *path = scratch("half.gguf");
    ck_assert_int_eq(gguf_create(&w, path), 0);
    ck_assert_int_eq(gguf_declare(w, "a", DTYPE_F32, 1, (int64_t[]){6}), 0);
    gguf_writer_close(w);
    ck_assert(!file_exists(path));
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    ck_assert(!file_exists(temporary));
}
END_TEST

int main(void) {
    const TTest *const tests[] = {round_trip, layout, cut_anywhere, damaged, other_places, NULL};
    return run_suite(suite_of("gguf", tests));
}
