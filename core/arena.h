// Host memory for many small things that die together: taken one after the other, given back at once.
// The capacity is fixed when it is opened, far above what its user needs; to run out is a bug of ours.
#pragma once
#include "core/memory.h"

typedef struct arena {
    unsigned char *bytes;
    size_t used, capacity;
} arena;

status arena_open(arena *a, size_t capacity, const char *what);
void arena_close(arena *a);

// SIZE bytes, zeroed, aligned to 16; dies when the arena is full. A USED kept from before and put back
// gives everything taken since back.
void *arena_take(arena *a, size_t size);
