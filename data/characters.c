// Characters by utf8proc's tables. See characters.h.
#include "data/characters.h"
#include "core/utf8.h"

#include <utf8proc.h>

void characters_add(characters *out, uint32_t c) {
    if (out->failed) return;
    out->failed =
        mem_grow((void **)&out->c, &out->capacity, out->count + 1, sizeof *out->c, "a text");
    if (!out->failed) out->c[out->count++] = c;
}

void characters_decode(characters *out, const char *text, size_t length) {
    for (size_t i = 0; i < length;) {
        uint32_t c;
        bool good;
        i += utf8_read(&c, &good, text + i, length - i);
        characters_add(out, c);
    }
}

void characters_encode(buffer *out, const uint32_t *c, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char bytes[4];
        buffer_append(out, bytes, utf8_write(bytes, c[i]));
    }
}

void characters_free(characters *text) {
    mem_free(text->c);
    *text = (characters){0};
}

static utf8proc_category_t category_of(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c);
}

bool character_is_white(uint32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool character_is_space(uint32_t c) {
    return character_is_white(c) || (c >= 0x1c && c <= 0x1f);
}

bool character_is_digit(uint32_t c) {
    return c < 0x80 ? c >= '0' && c <= '9' : category_of(c) == UTF8PROC_CATEGORY_ND;
}

bool character_is_word(uint32_t c) {
    if (c < 0x80) return (c | 32) - 'a' < 26 || c - '0' < 10 || c == '_';
    const utf8proc_category_t k = category_of(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

bool character_is_upper(uint32_t c) {
    return c < 0x80 ? c - 'A' < 26 : category_of(c) == UTF8PROC_CATEGORY_LU;
}

bool character_is_lower(uint32_t c) {
    return c < 0x80 ? c - 'a' < 26 : category_of(c) == UTF8PROC_CATEGORY_LL;
}

uint32_t character_lower(uint32_t c) {
    if (c < 0x80) return c - 'A' < 26 ? c + 32 : c;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}
