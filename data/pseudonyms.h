// Ids that stand for a hospital's own: keyed hashes that nobody turns back, or makes from a list of
// names, without the key. The same key gives the same ids, in any order of files and on any
// machine.
//
// The key is 32 random bytes, as 64 hexadecimal digits on the first line of a file that only its
// owner may read. It belongs beside the patients' data: who has it and a list of patients knows who
// is who.
#pragma once
#include "core/status.h"
#include <stdint.h>

typedef struct pseudonym_key {
    uint8_t bytes[32];
} pseudonym_key;

// Reads the key at PATH; makes one, mode 0600, where there is no file. Errors: IO; FORMAT (no key
// in it).
status pseudonym_key_open(pseudonym_key *out, const char *path);

enum { PSEUDONYM_SIZE = 33 };

// 128 bits of HMAC-SHA256 of "KIND", a NUL and ID in hexadecimal: what of a patient and of a study
// are the same texts differ. Returns OUT.
const char *pseudonym(char out[PSEUDONYM_SIZE], const pseudonym_key *key, const char *kind,
                      const char *id);
