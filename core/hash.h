// FNV-1a in 64 bits: for tables, and to tell inputs apart; protects against nothing. The upper half is the one
// that the multiplication has mixed.
#pragma once
#include <stddef.h>
#include <stdint.h>

static const uint64_t hash_start = 0xcbf29ce484222325u;

// Continues HASH over SIZE bytes; start with hash_start.
static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ byte[i]) * 0x100000001b3u;
    return hash;
}
