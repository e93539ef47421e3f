#include "models/tape/space.h"

#include <string.h>

// Made-up addresses start here: never dereferenced, never NULL, aligned.
static const uintptr_t NOWHERE = (uintptr_t)1 << 20;

// What BYTES take. Nothing takes a place as well: an address says whose it is, and when it was handed
// out (tape_region.c).
static size_t room_of(size_t bytes) {
    return ((bytes ? bytes : 1) + SPACE_ALIGNMENT - 1) / SPACE_ALIGNMENT * SPACE_ALIGNMENT;
}

static void *address_of(const space *s, size_t offset) {
    return s->base && !s->full ? s->base + offset : (void *)(NOWHERE + offset);
}

size_t space_offset(const space *s, const void *address) {
    return (uintptr_t)address - (s->base && !s->full ? (uintptr_t)s->base : NOWHERE);
}

static void note_high(space *s, size_t end) {
    if (end > s->high) s->high = end;
    if (end > s->capacity) s->full = true;
}

void space_stack(space *s, void *base, size_t capacity) {
    *s = (space){.base = base, .capacity = base ? capacity : SIZE_MAX};
}

status space_heap(space *s, void *base, size_t capacity) {
    *s = (space){.base = base, .capacity = base ? capacity : SIZE_MAX};
    s->failed = mem_grow((void **)&s->piece, &s->piece_capacity, 1024, sizeof *s->piece, "a heap");
    if (!s->failed) space_clear(s);
    return s->failed;
}

void space_free(space *s) {
    mem_free(s->piece);
    *s = (space){0};
}

void *space_push(space *s, size_t bytes) {
    size_t offset = s->used;
    s->used += room_of(bytes);
    note_high(s, s->used);
    return address_of(s, offset);
}

void space_clear(space *s) {
    s->used = 0;
    s->full = false;
    s->failed = STATUS_OK;
    s->pieces = 1;
    s->piece[0] = (struct piece){0, SIZE_MAX / 2};
}

void *space_take(space *s, size_t bytes) {
    size_t size = room_of(bytes), i = 0;
    if (s->full) return (void *)NOWHERE;
    // First fit; the last piece reaches beyond any capacity, so one always fits.
    while (s->piece[i].size < size) i++;
    size_t offset = s->piece[i].offset;
    s->piece[i].offset += size;
    s->piece[i].size -= size;
    if (s->piece[i].size == 0) {
        memmove(s->piece + i, s->piece + i + 1, (s->pieces - i - 1) * sizeof *s->piece);
        s->pieces--;
    }
    note_high(s, offset + size);
    return address_of(s, offset);
}

void space_give(space *s, void *address, size_t bytes) {
    size_t size = room_of(bytes), offset = space_offset(s, address), i = 0;
    if (s->full) return;
    while (i < s->pieces && s->piece[i].offset < offset) i++;
    bool joins_left = i > 0 && s->piece[i - 1].offset + s->piece[i - 1].size == offset;
    bool joins_right = i < s->pieces && offset + size == s->piece[i].offset;
    if (joins_left && joins_right) {
        s->piece[i - 1].size += size + s->piece[i].size;
        memmove(s->piece + i, s->piece + i + 1, (s->pieces - i - 1) * sizeof *s->piece);
        s->pieces--;
    } else if (joins_left) {
        s->piece[i - 1].size += size;
    } else if (joins_right) {
        s->piece[i].offset = offset;
        s->piece[i].size += size;
    } else {
        status rc = mem_grow((void **)&s->piece, &s->piece_capacity, s->pieces + 1,
                             sizeof *s->piece, "a heap's list of free pieces");
        if (rc) {
            s->failed = rc; // the piece is lost until the next step; the step is abandoned
            return;
        }
        memmove(s->piece + i + 1, s->piece + i, (s->pieces - i) * sizeof *s->piece);
        s->piece[i] = (struct piece){offset, size};
        s->pieces++;
    }
}
