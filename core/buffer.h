// A growable string of bytes with a sticky error: append freely, ask once at the end.
#pragma once
#include "core/memory.h"

typedef struct buffer {
    char *data; // always ends in a NUL that is not counted, once anything was appended
    size_t length;
    size_t capacity;
    status failed;
} buffer;

void buffer_append(buffer *b, const void *bytes, size_t count);
void buffer_text(buffer *b, const char *text);
void buffer_print(buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
// VALUE as BYTES bytes, at most 8, the lowest first.
void buffer_number(buffer *b, uint64_t value, int bytes);
// TEXT as a JSON string with its quotes; bytes that are not valid UTF-8 become U+FFFD.
void buffer_json(buffer *b, const char *text);
// A number as JSON: the shortest form that reads back equal; null where it is not finite.
void buffer_json_number(buffer *b, double value);
void buffer_free(buffer *b);

// Whether the SIZE bytes at TEXT are UTF-8 without a NUL among them.
bool text_is_utf8(const char *text, size_t size);
