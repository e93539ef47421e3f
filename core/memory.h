// Host memory. Every allocation of the program goes through here, so that the tests can make the n-th
// one fail. Sizes are checked for overflow; memory is zeroed.
#pragma once
#include "core/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// COUNT elements of SIZE bytes, zeroed, aligned to 64 bytes. WHAT names the use in the error text.
// The target is set to NULL on failure. Freed with mem_free.
#define mem_new(target, count, what)                                                               \
    mem_take((void **)(target), (size_t)(count), sizeof **(target), (what))
status mem_take(void **out, size_t count, size_t size, const char *what);
// BYTES that are not written to: what is never used of a large block then costs no memory and no time. For
// those who zero what they hand out themselves.
status mem_take_untouched(void **out, size_t bytes, const char *what);

// Grows *BLOCK, which has room for *CAPACITY elements, to at least WANT (at least doubling), keeping its
// content; the new part is zeroed. On failure nothing changes.
status mem_grow(void **block, size_t *capacity, size_t want, size_t size, const char *what);

// Accepts NULL.
void mem_free(void *block);

// A copy of TEXT.
status mem_string(char **out, const char *text);

// Makes the N-th allocation from now on fail (1: the next one); 0 switches it off. mem_fail_from: and
// all behind it. For tests: the program itself never calls it.
void mem_fail_at(int64_t n);
void mem_fail_from(int64_t n);
// Whether that has happened.
bool mem_has_failed(void);

// Multiplies sizes read from a file. Returns 0 on overflow.
int size_multiply(size_t a, size_t b, size_t *product);
