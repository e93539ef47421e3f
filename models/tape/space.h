// Device memory inside one block, planned on the host: a stack (activations, scratch) and a
// first-fit heap (gradients of activations, which die in another order than they are born).
//
// Both also run without a block: addresses are then made up and only the high-water mark matters.
// That is the dry run which sizes the real block, and since it makes the same calls in the same
// order, what it counts is exactly what is used.
#pragma once
#include "core/memory.h"
#include <stdbool.h>

enum { SPACE_ALIGNMENT = 64 };

typedef struct space {
    char *base;      // NULL: a dry run
    size_t capacity; // bytes; SIZE_MAX in a dry run
    size_t high;     // most bytes ever in use
    bool full;       // sticky: something did not fit; addresses are made up from then on
    // stack
    size_t used;
    // heap: free pieces in address order, no two adjacent
    struct piece {
        size_t offset, size;
    } * piece;
    size_t pieces, piece_capacity;
    status failed; // host memory for the list
} space;

void space_stack(space *s, void *base, size_t capacity);
status space_heap(space *s, void *base, size_t capacity);
void space_free(space *s); // the host's list, not the block

void *space_push(space *s, size_t bytes);
// Offset of an address handed out by this space.
size_t space_offset(const space *s, const void *address);

void *space_take(space *s, size_t bytes);
void space_give(space *s, void *address, size_t bytes);
// Gives back everything at once (a new step).
void space_clear(space *s);
