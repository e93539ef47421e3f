// UTF-8 (RFC 3629), character by character.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The character at TEXT (LEFT bytes, at least 1) and its length. Bytes that are not UTF-8: U+FFFD, and as many
// as belong together by the Unicode standard's recommendation (3.9, maximal subparts); *GOOD is false then. No
// byte behind one that does not belong is looked at: where a NUL ends the text, LEFT may be 4.
size_t utf8_read(uint32_t *c, bool *good, const char *text, size_t left);
size_t utf8_write(char *out, uint32_t c); // up to 4 bytes
