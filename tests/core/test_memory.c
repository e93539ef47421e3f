// core/memory.h: zeroed and aligned blocks, growth, overflow, the failing allocator.
#include "core/memory.h"
#include "tests/core/helper_check.h"

#include <string.h>

START_TEST(blocks_are_zeroed_and_aligned) {
    static const size_t counts[] = {0, 1, 7, 8, 63, 64, 65, 1000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        double *block;
        ck_assert_int_eq(mem_new(&block, counts[i], "a test"), STATUS_OK);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % 64, 0);
        for (size_t k = 0; k < counts[i]; k++) ck_assert(block[k] == 0);
        memset(block, 0xff, counts[i] * sizeof *block); // the next block must not show this
        mem_free(block);
    }
    mem_free(NULL);
}
END_TEST

START_TEST(sizes_that_cannot_exist) {
    static const size_t cases[][2] = {
        {SIZE_MAX, 2}, {SIZE_MAX / 8 + 1, 8}, {SIZE_MAX, 1}, {SIZE_MAX - 63, 1}, {1, SIZE_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *block = &block;
        expect_failure(mem_take(&block, cases[i][0], cases[i][1], "a huge thing"), STATUS_MEMORY,
                       "size", "a huge thing", "can exist");
        ck_assert_ptr_null(block);
    }
    size_t product;
    ck_assert(size_multiply(SIZE_MAX / 2, 2, &product) && product == SIZE_MAX - 1);
    ck_assert(!size_multiply(SIZE_MAX / 2 + 1, 2, &product));
    ck_assert(size_multiply(0, SIZE_MAX, &product) && product == 0);
}
END_TEST

START_TEST(growth_keeps_the_content) {
    uint32_t *block = NULL;
    size_t capacity = 0, steps = 0;
    for (size_t want = 1; want <= 5000; want++) {
        size_t before = capacity;
        ck_assert_int_eq(mem_grow((void **)&block, &capacity, want, sizeof *block, "a list"), 0);
        ck_assert_uint_ge(capacity, want);
        if (capacity != before) steps++;
        for (size_t i = before; i < capacity; i++) ck_assert_uint_eq(block[i], 0);
        block[want - 1] = (uint32_t)want;
    }
    for (uint32_t i = 0; i < 5000; i++) ck_assert_uint_eq(block[i], i + 1);
    ck_assert_uint_le(steps, 14); // it doubles
    uint32_t *kept = block;
    size_t kept_capacity = capacity;
    mem_fail_at(1);
    expect_failure(mem_grow((void **)&block, &capacity, capacity + 1, sizeof *block, "a list"),
                   STATUS_MEMORY, "growth", "a list", "cannot get");
    ck_assert(block == kept && capacity == kept_capacity && block[4999] == 5000);
    expect_failure(mem_grow((void **)&block, &capacity, SIZE_MAX / 2, sizeof *block, "a list"),
                   STATUS_MEMORY, "growth", "a list", "can exist");
    ck_assert(block == kept && capacity == kept_capacity);
    mem_free(block);
}
END_TEST

START_TEST(the_nth_allocation_fails_once) {
    char *text[5];
    mem_fail_at(3);
    for (int i = 0; i < 5; i++) {
        status rc = mem_string(&text[i], "text");
        ck_assert_int_eq(rc, i == 2 ? STATUS_MEMORY : STATUS_OK);
        if (i == 2)
            ck_assert_ptr_null(text[i]);
        else
            ck_assert_str_eq(text[i], "text");
        mem_free(text[i]);
    }
    mem_fail_at(1);
    mem_fail_at(0);
    ck_assert_int_eq(mem_string(text, ""), STATUS_OK);
    ck_assert_str_eq(*text, "");
    mem_free(*text);
}
END_TEST

START_TEST(all_behind_may_fail) {
    char *text;
    mem_fail_from(2);
    ck_assert(!mem_has_failed());
    ck_assert_int_eq(mem_string(&text, "kept"), STATUS_OK);
    mem_free(text);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(mem_string(&text, "lost"), STATUS_MEMORY);
    ck_assert(mem_has_failed());
    mem_fail_at(0);
    ck_assert(!mem_has_failed());
    ck_assert_int_eq(mem_string(&text, "kept"), STATUS_OK);
    mem_free(text);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {blocks_are_zeroed_and_aligned, sizes_that_cannot_exist,
                                  growth_keeps_the_content, the_nth_allocation_fails_once,
                                  all_behind_may_fail, NULL};
    return run_suite(suite_of("memory", tests));
}
