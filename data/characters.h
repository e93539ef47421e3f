// Texts as characters instead of bytes, and what Python's str and re know of a character. For rules
// that are written as regular expressions over Unicode (eval/sentences.h, eval/text_tokens.h).
// Tokenizers of models have their own rules.
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

// A growable text with a sticky error: append freely, ask once at the end.
typedef struct characters {
    uint32_t *c; // (count)
    size_t count, capacity;
    status failed;
} characters;

void characters_add(characters *out, uint32_t c);
// Appends TEXT (UTF-8, LENGTH bytes); bytes that are not UTF-8 become U+FFFD.
void characters_decode(characters *out, const char *text, size_t length);
// Appends C (COUNT) as UTF-8.
void characters_encode(buffer *out, const uint32_t *c, size_t count);
void characters_free(characters *text);

bool character_is_white(uint32_t c); // Unicode's White_Space
bool character_is_space(uint32_t c); // \s: that, and four controls
bool character_is_digit(uint32_t c); // \d: of any script
bool character_is_word(uint32_t c);  // \w: letters, numbers, '_'
bool character_is_upper(uint32_t c);
bool character_is_lower(uint32_t c);
uint32_t character_lower(uint32_t c); // where that is one character
