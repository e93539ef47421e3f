// core/keyed.h: what is kept by key.
#include "core/keyed.h"
#include "tests/core/helper_check.h"

static void count_release(void *entry, void *context) {
    *(int64_t *)context += *(int64_t *)entry;
}

START_TEST(kept_by_key) {
    enum { MANY = 2000 };
    static keyed k;
    int64_t released = 0;
    for (int64_t i = 0; i < MANY; i++) {
        const int64_t key[3] = {i % 7, i, -i};
        int64_t *entry;
        ck_assert_ptr_null(keyed_find(&k, key, sizeof key));
        ck_assert_int_eq(keyed_add(&k, key, sizeof key, sizeof *entry, "an entry", (void **)&entry),
                         STATUS_OK);
        ck_assert_int_eq(*entry, 0);
        ck_assert_uint_eq((uintptr_t)entry % 64, 0);
        *entry = i + 1;
    }
    for (int64_t i = 0; i < MANY; i++) {
        const int64_t key[3] = {i % 7, i, -i};
        const int64_t *entry = keyed_find(&k, key, sizeof key);
        ck_assert_ptr_nonnull(entry);
        ck_assert_int_eq(*entry, i + 1);
        ck_assert_ptr_null(keyed_find(&k, key, 2 * sizeof *key)); // a shorter key is another
    }
    keyed_free(&k, count_release, &released);
    ck_assert_int_eq(released, MANY * (MANY + 1) / 2);
    mem_fail_at(1);
    void *entry = &released;
    ck_assert_int_eq(keyed_add(&k, "key", 3, 8, "an entry", &entry), STATUS_MEMORY);
    ck_assert_ptr_null(entry);
    ck_assert_ptr_null(keyed_find(&k, "key", 3));
}
END_TEST

int main(void) {
    return run_suite(suite_of("keyed", (const TTest *const[]){kept_by_key, NULL}));
}
