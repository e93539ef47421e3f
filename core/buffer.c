#include "core/buffer.h"
#include "core/utf8.h"

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

bool text_is_utf8(const char *text, size_t size) {
    uint32_t c = 1;
    bool good = true;
    for (size_t at = 0; at < size && good && c;) at += utf8_read(&c, &good, text + at, size - at);
    return good && c;
}

void buffer_json(buffer *b, const char *text) {
    buffer_text(b, "\"");
    while (*text) {
        uint32_t c;
        bool good;
        size_t length = utf8_read(&c, &good, text, 4);
        if (!good) length = 1;
        if (c == '"' || c == '\\')
            buffer_print(b, "\\%c", *text);
        else if (c == '\n')
            buffer_text(b, "\\n");
        else if (c < ' ')
            buffer_print(b, "\\u%04x", (unsigned)c);
        else
            buffer_append(b, good ? text : "\xef\xbf\xbd", good ? length : 3);
        text += length;
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
