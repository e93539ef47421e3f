#include "core/buffer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_append(buffer *b, const void *bytes, size_t count) {
    if (b->failed) return;
    b->failed =
        mem_grow((void **)&b->data, &b->capacity, b->length + count + 1, 1, "a text buffer");
    if (b->failed) return;
    if (count) memcpy(b->data + b->length, bytes, count);
    b->length += count;
    b->data[b->length] = 0;
}

void buffer_text(buffer *b, const char *text) {
    buffer_append(b, text, strlen(text));
}

void buffer_number(buffer *b, uint64_t value, int bytes) {
    unsigned char text[8];
    if (bytes < 0 || bytes > 8) die("buffer_number: %d bytes", bytes);
    for (int i = 0; i < bytes; i++) text[i] = (unsigned char)(value >> (8 * i));
    buffer_append(b, text, (size_t)bytes);
}

void buffer_print(buffer *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (!b->failed && length >= 0) {
        size_t want = b->length + (size_t)length + 1;
        b->failed = mem_grow((void **)&b->data, &b->capacity, want, 1, "a text buffer");
        if (!b->failed) {
            vsnprintf(b->data + b->length, (size_t)length + 1, format, again);
            b->length += (size_t)length;
        }
    }
    va_end(again);
}

// Bytes of the well-formed UTF-8 sequence at TEXT (RFC 3629), or 0.
static size_t utf8_length(const unsigned char *text) {
    unsigned char c = text[0];
    if (c < 0x80) return 1;
    size_t length = c >= 0xf0 && c < 0xf5   ? 4
                    : c >= 0xe0 && c < 0xf0 ? 3
                    : c >= 0xc2 && c < 0xe0 ? 2
                                            : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    if (c == 0xe0 && text[1] < 0xa0) return 0; // overlong
    if (c == 0xed && text[1] > 0x9f) return 0; // surrogates
    if (c == 0xf0 && text[1] < 0x90) return 0;
    if (c == 0xf4 && text[1] > 0x8f) return 0; // beyond U+10FFFF
    return length;
}

bool text_is_utf8(const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        size_t length = text[i] ? utf8_length((const unsigned char *)text + i) : 0;
        if (!length) return false;
        i += length;
    }
    return true;
}

void buffer_json(buffer *b, const char *text) {
    buffer_text(b, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        size_t length = utf8_length(c);
        if (*c == '"' || *c == '\\')
            buffer_print(b, "\\%c", *c);
        else if (*c == '\n')
            buffer_text(b, "\\n");
        else if (*c < ' ')
            buffer_print(b, "\\u%04x", (unsigned)*c);
        else if (!length)
            buffer_text(b, "\xef\xbf\xbd");
        else
            buffer_append(b, c, length);
        c += length ? length : 1;
    }
    buffer_text(b, "\"");
}

void buffer_json_number(buffer *b, double value) {
    char text[32];
    if (!isfinite(value)) {
        buffer_text(b, "null");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    buffer_text(b, text);
}

void buffer_free(buffer *b) {
    mem_free(b->data);
    *b = (buffer){0};
}
