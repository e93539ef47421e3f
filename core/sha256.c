#include "core/sha256.h"
#include "core/status.h"

#include <string.h>

enum { BLOCK = 64, ROUNDS = 64 };

// The first 32 bits of the fractions of the cube roots of the first 64 primes.
static const uint32_t constant[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

typedef struct hasher {
    uint32_t state[8];
    uint8_t block[BLOCK];
    size_t used;    // bytes of the block
    uint64_t total; // bytes in all
} hasher;

static uint32_t turn(uint32_t v, int bits) {
    return v >> bits | v << (32 - bits);
}

static void schedule(uint32_t w[ROUNDS], const uint8_t *block) {
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 |
               block[3];
    for (int i = 16; i < ROUNDS; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
}

// A round turns the letters a to h one place: S[(n - i) mod 8] holds letter n in round i.
static void take_block(hasher *h) {
    uint32_t w[ROUNDS], s[8];
    schedule(w, h->block);
    memcpy(s, h->state, sizeof s);
#define LETTER(n) s[((n)-i + ROUNDS) % 8]
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t a = LETTER(0), b = LETTER(1), c = LETTER(2), e = LETTER(4), f = LETTER(5);
        uint32_t first = LETTER(7) + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                         ((e & f) ^ (~e & LETTER(6))) + constant[i] + w[i];
        LETTER(3) += first;
        LETTER(7) =
            first + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    }
#undef LETTER
    for (int i = 0; i < 8; i++) h->state[i] += s[i];
}

static hasher hash_begin(void) {
    return (hasher){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                              0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

static void hash_more(hasher *h, const void *bytes, size_t size) {
    const uint8_t *from = bytes;
    h->total += size;
    while (size) {
        size_t part = BLOCK - h->used < size ? BLOCK - h->used : size;
        memcpy(h->block + h->used, from, part);
        h->used += part, from += part, size -= part;
        if (h->used < BLOCK) return;
        take_block(h);
        h->used = 0;
    }
}

static void hash_end(uint8_t out[SHA256_SIZE], hasher *h) {
    static const uint8_t padding[BLOCK] = {0x80};
    uint64_t bits = h->total * 8;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    hash_more(h, padding, h->used < 56 ? 56 - h->used : BLOCK + 56 - h->used);
    hash_more(h, length, sizeof length);
    for (int i = 0; i < SHA256_SIZE; i++) out[i] = (uint8_t)(h->state[i / 4] >> (24 - i % 4 * 8));
}

void sha256(uint8_t out[SHA256_SIZE], const void *bytes, size_t size) {
    hasher h = hash_begin();
    hash_more(&h, bytes, size);
    hash_end(out, &h);
}

void hmac_sha256(uint8_t out[SHA256_SIZE], const void *key, size_t key_size, const void *bytes,
                 size_t size) {
    uint8_t inner[BLOCK] = {0}, outer[BLOCK];
    if (key_size > BLOCK) die("hmac_sha256: a key of %zu bytes", key_size);
    memcpy(inner, key, key_size);
    for (int i = 0; i < BLOCK; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    hasher h = hash_begin();
    hash_more(&h, inner, BLOCK);
    hash_more(&h, bytes, size);
    hash_end(out, &h);
    h = hash_begin();
    hash_more(&h, outer, BLOCK);
    hash_more(&h, out, SHA256_SIZE);
    hash_end(out, &h);
}
