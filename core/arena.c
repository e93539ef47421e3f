#include "core/arena.h"

#include <string.h>

status arena_open(arena *a, size_t capacity, const char *what) {
    *a = (arena){.capacity = capacity};
    return mem_take_untouched((void **)&a->bytes, capacity, what); // taken pieces are zeroed
}

void arena_close(arena *a) {
    mem_free(a->bytes);
    *a = (arena){0};
}

void *arena_take(arena *a, size_t size) {
    size = (size + 15) / 16 * 16;
    if (size > a->capacity - a->used)
        die("arena_take: %zu bytes wanted, %zu of %zu in use", size, a->used, a->capacity);
    void *taken = a->bytes + a->used;
    a->used += size;
    return memset(taken, 0, size);
}
