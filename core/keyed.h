// A small table from keys (bytes of a fixed size, without padding) to what was prepared for them:
// operations of oneDNN, products of cuBLASLt and plans of cuDNN by their sizes. Entries stay until the table is freed.
#pragma once
#include "core/memory.h"

enum { KEYED_BUCKETS = 256 };

typedef struct keyed {
    struct keyed_entry *bucket[KEYED_BUCKETS];
} keyed;

// NULL where there is none. KEY's size is the same in all calls for one table.
void *keyed_find(const keyed *k, const void *key, size_t key_bytes);
// A new entry of ENTRY_BYTES, zeroed, aligned to 64; the caller knows that there is none yet.
status keyed_add(keyed *k, const void *key, size_t key_bytes, size_t entry_bytes, const char *what,
                 void **out);
// RELEASE is called on each entry before its memory goes; CONTEXT is handed on.
void keyed_free(keyed *k, void (*release)(void *entry, void *context), void *context);
