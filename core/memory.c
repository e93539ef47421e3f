#include "core/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 64, LARGE = 32 << 20 };

static atomic_llong allocations_until_failure; // 0 and less: never
static atomic_bool and_behind, has_failed;

void mem_fail_at(int64_t n) {
    atomic_store(&and_behind, false);
    atomic_store(&has_failed, false);
    atomic_store(&allocations_until_failure, n);
}

void mem_fail_from(int64_t n) {
    mem_fail_at(n);
    atomic_store(&and_behind, true);
}

bool mem_has_failed(void) {
    return atomic_load(&has_failed);
}

static bool must_fail(void) {
    if (atomic_load_explicit(&allocations_until_failure, memory_order_relaxed) <= 0)
        return atomic_load_explicit(&and_behind, memory_order_relaxed) && mem_has_failed();
    if (atomic_fetch_sub(&allocations_until_failure, 1) != 1) return false;
    atomic_store(&has_failed, true);
    return true;
}

int size_multiply(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

static size_t padded(size_t bytes) {
    return (bytes / ALIGNMENT + 1) * ALIGNMENT;
}

// Large blocks are weights and activations, which are read from end to end: with pages of 4 KB the
// processor would be looking for one with every row. The system gives larger ones where it is asked.
static void ask_for_huge_pages(void *block, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)block + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)block + bytes) / page * page;
    if (bytes >= LARGE) madvise((void *)first, end - first, MADV_HUGEPAGE);
}

status mem_take_untouched(void **out, size_t bytes, const char *what) {
    *out = NULL;
    bool exists = bytes <= SIZE_MAX - ALIGNMENT;
    void *block = !exists || must_fail() ? NULL : aligned_alloc(ALIGNMENT, padded(bytes));
    if (!block)
        return status_fail(STATUS_MEMORY, "%s: cannot get %zu bytes of memory", what, bytes);
    ask_for_huge_pages(block, padded(bytes));
    *out = block;
    return STATUS_OK;
}

status mem_take(void **out, size_t count, size_t size, const char *what) {
    size_t bytes;
    *out = NULL;
    if (!size_multiply(count, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT)
        return status_fail(STATUS_MEMORY, "%s: %zu elements of %zu bytes are more than can exist",
                           what, count, size);
    status rc = mem_take_untouched(out, bytes, what);
    if (!rc) memset(*out, 0, padded(bytes));
    return rc;
}

status mem_grow(void **block, size_t *capacity, size_t want, size_t size, const char *what) {
    if (want <= *capacity) return STATUS_OK;
    size_t count = *capacity > want / 2 ? *capacity * 2 : want;
    void *grown;
    status rc = mem_take(&grown, count, size, what);
    if (rc) return rc;
    if (*block) memcpy(grown, *block, *capacity * size);
    mem_free(*block);
    *block = grown;
    *capacity = count;
    return STATUS_OK;
}

void mem_free(void *block) {
    free(block);
}

status mem_string(char **out, const char *text) {
    size_t length = strlen(text) + 1;
    status rc = mem_take((void **)out, length, 1, "a string");
    if (!rc) memcpy(*out, text, length);
    return rc;
}
