// SHA-256 and the keyed hash made of it: names that stand for others and cannot be turned back
// without the key (data/pseudonyms.h). Not for checksums of large files: core/checksum.h is faster.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32 };

// FIPS 180-4.
void sha256(uint8_t out[SHA256_SIZE], const void *bytes, size_t size);

// HMAC (RFC 2104) of a KEY of at most 64 bytes.
void hmac_sha256(uint8_t out[SHA256_SIZE], const void *key, size_t key_size, const void *bytes,
                 size_t size);
