// JSON documents: read into a tree, checked while they are read, asked with checked accessors.
//
// The only file that knows cJSON. Reading is strict: RFC 8259 and nothing more, valid UTF-8 without
// NUL, no duplicate keys, no text after the document, nesting up to 64, at most 4 Mi values. Every
// failure names the document and the line. JSON is written with core/buffer.h, not here.
#pragma once
#include "core/buffer.h"
#include "core/version.h"
#include <stdbool.h>

enum { JSON_MAX_DEPTH = 64, JSON_MAX_VALUES = 1 << 22, JSON_PLACE_SIZE = 400 };

typedef struct json json; // a document; owns its values and their strings

// A value of a document; copied freely, valid until json_close. No value: node == NULL.
typedef struct json_value {
    const json *document;
    const void *node;
} json_value;

typedef enum json_kind {
    JSON_NONE, // no value
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_LIST,
    JSON_OBJECT
} json_kind;

// Parses SIZE bytes. NAME stands in error texts. FIRST_LINE is the line number of the first byte;
// 0: the text has no lines (a command-line argument), so that places are NAME alone. Errors:
// FORMAT, MEMORY.
status json_parse(json **out, const char *name, const char *text, size_t size, int first_line);

// Reads and parses the file at PATH, at most LIMIT bytes (0: no limit). Errors: IO, FORMAT, MEMORY.
status json_read(json **out, const char *path, size_t limit);

void json_close(json *document); // accepts NULL

json_value json_root(const json *document);
json_kind json_kind_of(json_value value);
// "a text", "an object", ... for error texts.
const char *json_kind_text(json_value value);
// The line of a value (of its key, for a member of an object); 0 if the text has no lines.
int json_line(json_value value);
// "NAME:LINE: " or "NAME: " in PLACE, which is returned. Long names are cut in the middle.
char *json_place(char place[JSON_PLACE_SIZE], json_value value);
// Fails with FORMAT; the text starts with the value's place and key.
status json_fail(json_value value, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Walks a list or an object; no value at the end. Other kinds have nothing inside.
//     for (json_value v = json_first(list); v.node; v = json_next(v))
json_value json_first(json_value value);
json_value json_next(json_value value);
size_t json_count(json_value value);
// The key of a member of an object; NULL for others. Borrowed.
const char *json_key(json_value value);

// The member of that name; no value if OBJECT is none or has none.
json_value json_find(json_value object, const char *key);

// The rest fail with FORMAT, naming place and key, when the value is of another kind or out of
// range.
status json_member(json_value *out, json_value object, const char *key);
status json_list(json_value value);
status json_object(json_value value);
status json_bool(bool *out, json_value value);
// A whole number, exact: |value| < 2^53, MIN <= value <= MAX. 3, 3.0 and 3e0 are the same number.
status json_int(int64_t *out, json_value value, int64_t min, int64_t max);
status json_number(double *out, json_value value);
// Borrowed, valid until json_close.
status json_text(const char **out, json_value value);

// Member and value in one.
status json_member_bool(bool *out, json_value object, const char *key);
status json_member_int(int64_t *out, json_value object, const char *key, int64_t min, int64_t max);
status json_member_number(double *out, json_value object, const char *key);
status json_member_text(const char **out, json_value object, const char *key);

// Of cJSON.
library_version json_version(void);
