#include "core/keyed.h"

#include <string.h>

// Followed by the key, then (aligned) by the entry.
struct keyed_entry {
    struct keyed_entry *next;
    size_t key_bytes, entry_at;
    char key[];
};

// By words, because keys are mostly numbers of 64 bits and are looked up before every operation.
static size_t bucket_of(const void *key, size_t bytes) {
    uint64_t hash = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        word = 0;
        memcpy(&word, (const char *)key + i, bytes - i < sizeof word ? bytes - i : sizeof word);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    }
    return (size_t)(hash >> 56) % KEYED_BUCKETS;
}

static void *entry_of(struct keyed_entry *e) {
    return (char *)e + e->entry_at;
}

void *keyed_find(const keyed *k, const void *key, size_t key_bytes) {
    for (struct keyed_entry *e = k->bucket[bucket_of(key, key_bytes)]; e; e = e->next)
        if (e->key_bytes == key_bytes && !memcmp(e->key, key, key_bytes)) return entry_of(e);
    return NULL;
}

status keyed_add(keyed *k, const void *key, size_t key_bytes, size_t entry_bytes, const char *what,
                 void **out) {
    struct keyed_entry **bucket = &k->bucket[bucket_of(key, key_bytes)];
    struct keyed_entry *e = NULL;
    size_t at = (sizeof *e + key_bytes + 63) / 64 * 64;
    status rc = mem_take((void **)&e, at + entry_bytes, 1, what);
    *out = NULL;
    if (rc) return rc;
    e->key_bytes = key_bytes;
    e->entry_at = at;
    memcpy(e->key, key, key_bytes);
    e->next = *bucket;
    *bucket = e;
    *out = entry_of(e);
    return STATUS_OK;
}

void keyed_free(keyed *k, void (*release)(void *entry, void *context), void *context) {
    for (int i = 0; i < KEYED_BUCKETS; i++) {
        while (k->bucket[i]) {
            struct keyed_entry *e = k->bucket[i];
            k->bucket[i] = e->next;
            if (release) release(entry_of(e), context);
            mem_free(e);
        }
    }
}
