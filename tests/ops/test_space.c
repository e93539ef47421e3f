// Memory inside one block: against a naive model that knows every piece handed out.
#include "tests/ops/helper_op_check.h"

#include <stdlib.h>
#include <string.h>

enum { PIECES = 200, CAPACITY = 1 << 20 };

typedef struct taken {
    char *address;
    size_t bytes;
} taken;

static uint32_t draw(uint32_t i, uint32_t n) {
    return rng_below((rng_key){1, rng_site("space"), 0}, 0, i, n);
}

// Every live piece is aligned, inside of the block and holds what was written into it.
static void check_pieces(const space *s, const taken *live, const char *block) {
    for (int i = 0; i < PIECES; i++) {
        if (!live[i].address) continue;
        ck_assert_uint_eq((uintptr_t)live[i].address % SPACE_ALIGNMENT, 0);
        ck_assert(live[i].address >= block && live[i].address + live[i].bytes <= block + CAPACITY);
        size_t same = 0;
        while (same < live[i].bytes && (unsigned char)live[i].address[same] == i) same++;
        ck_assert_uint_eq(same, live[i].bytes);
    }
    ck_assert_uint_le(s->high, CAPACITY);
}

START_TEST(heap_random) {
    char *block = aligned_alloc(64, CAPACITY);
    taken live[PIECES] = {0}, shadow[PIECES] = {0};
    space s, dry;
    ck_assert_int_eq(space_heap(&s, block, CAPACITY), 0);
    ck_assert_int_eq(space_heap(&dry, NULL, 0), 0);
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = draw(3 * step, PIECES);
        if (live[i].address) {
            space_give(&s, live[i].address, live[i].bytes);
            space_give(&dry, shadow[i].address, live[i].bytes);
            live[i].address = NULL;
        } else {
            size_t bytes = draw(3 * step + 1, step % 5 ? 300 : 9000); // 0 is a size too
            live[i] = (taken){space_take(&s, bytes), bytes};
            shadow[i].address = space_take(&dry, bytes);
            memset(live[i].address, (int)i, bytes);
        }
        ck_assert(!s.full && !dry.full);
        if (live[i].address) // a dry run plans the very same places
            ck_assert_uint_eq(space_offset(&s, live[i].address),
                              space_offset(&dry, shadow[i].address));
        size_t k = 1; // in order, and no two that should be one
        while (k < s.pieces && s.piece[k - 1].offset + s.piece[k - 1].size < s.piece[k].offset) k++;
        ck_assert_uint_eq(k, s.pieces);
        if (step % 100 == 0) check_pieces(&s, live, block);
    }
    ck_assert_uint_eq(s.high, dry.high);
    for (int i = 0; i < PIECES; i++)
        if (live[i].address) space_give(&s, live[i].address, live[i].bytes);
    ck_assert_uint_eq(s.pieces, 1);
    ck_assert_uint_eq(s.piece[0].offset, 0);
    // All of it can be had in one piece again, and no more than that.
    ck_assert_ptr_eq(space_take(&s, CAPACITY), block);
    ck_assert(!s.full);
    space_take(&s, 1);
    ck_assert(s.full);
    space_clear(&s);
    ck_assert(!s.full && space_take(&s, 1) == block);
    space_free(&s);
    space_free(&dry);
    free(block);
}
END_TEST

// What does not fit gets an address outside of the block, and so does all that follows.
START_TEST(heap_full) {
    char *block = aligned_alloc(64, 1024);
    space s;
    ck_assert_int_eq(space_heap(&s, block, 1024), 0);
    void *first = space_take(&s, 512);
    char *second = space_take(&s, 513);
    ck_assert(s.full && (second < block || second >= block + 1024));
    char *third = space_take(&s, 1);
    ck_assert(third < block || third >= block + 1024);
    space_give(&s, first, 512);
    space_give(&s, second, 513);
    space_give(&s, third, 1);
    space_clear(&s);
    ck_assert_ptr_eq(space_take(&s, 1024), block);
    ck_assert(!s.full);
    space_free(&s);
    free(block);
}
END_TEST

// No memory for the list of free pieces: the step fails, the next one goes on.
START_TEST(heap_list_grows) {
    enum { COUNT = 5000 };
    static void *piece[COUNT];
    space s;
    ck_assert_int_eq(space_heap(&s, NULL, 0), 0);
    for (int round = 0; round < 2; round++) {
        space_clear(&s);
        for (int i = 0; i < COUNT; i++) piece[i] = space_take(&s, 64);
        mem_fail_at(round == 0 ? 1 : 0);
        for (int i = 0; i < COUNT; i += 2) space_give(&s, piece[i], 64);
        mem_fail_at(0);
        ck_assert_int_eq(s.failed, round == 0 ? STATUS_MEMORY : STATUS_OK);
    }
    for (int i = 1; i < COUNT; i += 2) space_give(&s, piece[i], 64);
    ck_assert_uint_eq(s.pieces, 1);
    space_free(&s);
}
END_TEST

START_TEST(stack_pushes) {
    char *block = aligned_alloc(64, 1024);
    space s;
    space_stack(&s, block, 1024);
    ck_assert_ptr_eq(space_push(&s, 1), block);
    ck_assert_ptr_eq(space_push(&s, 65), block + 64);
    ck_assert_ptr_eq(space_push(&s, 0), block + 192);
    ck_assert_ptr_eq(space_push(&s, 768), block + 256); // nothing took a place too
    ck_assert(!s.full && s.high == 1024);
    char *outside = space_push(&s, 1);
    ck_assert(s.full && (outside < block || outside >= block + 1024));
    ck_assert_uint_eq(s.high, 1088); // what would have been needed
    free(block);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("space");
    TCase *tests = tcase_create("space");
    tcase_add_test(tests, heap_random);
    tcase_add_test(tests, heap_full);
    tcase_add_test(tests, heap_list_grows);
    tcase_add_test(tests, stack_pushes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
