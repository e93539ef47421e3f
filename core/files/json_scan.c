#include "core/files/json_scan.h"
#include "core/files/json.h"
#include "core/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 63 }; // characters; cJSON cuts longer ones

static status scan_fail(const json_scan *s, const char *what) {
    // A hostile name must not push the reason out of the text.
    if (s->line) return status_fail(STATUS_FORMAT, "%.400s:%d: %s", s->name, s->line, what);
    return status_fail(STATUS_FORMAT, "%.400s: %s", s->name, what);
}

static int peek(const json_scan *s) {
    return s->at < s->end ? *s->at : -1;
}

// "EXPECTED, found ...": the byte may be anything.
static status scan_unexpected(const json_scan *s, const char *expected) {
    char text[160];
    int c = peek(s);
    if (c < 0)
        snprintf(text, sizeof text, "expected %s, but the text ends", expected);
    else if (c == '\n' || c == '\r')
        snprintf(text, sizeof text, "expected %s before the line ends", expected);
    else if (c > ' ' && c < 0x7f)
        snprintf(text, sizeof text, "expected %s, found '%c'", expected, c);
    else
        snprintf(text, sizeof text, "expected %s, found the byte 0x%02x", expected, (unsigned)c);
    return scan_fail(s, text);
}

static void skip_space(json_scan *s) {
    for (;; s->at++) {
        int c = peek(s);
        if (c == '\n' && s->line) s->line++;
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return;
    }
}

static status note_value(json_scan *s, int line) {
    if (s->count == JSON_MAX_VALUES) return scan_fail(s, "has more than 4194304 values");
    status rc = mem_grow((void **)&s->lines, &s->capacity, s->count + 1, sizeof *s->lines,
                         "the lines of a JSON text");
    if (!rc) s->lines[s->count++] = line;
    return rc;
}

// Four hexadecimal digits; -1 if there are none.
static int scan_hex(json_scan *s) {
    int value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        int c = peek(s), digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f' && c > 0)
            digit = (c | 0x20) - 'a' + 10;
        else
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

// Behind a backslash.
static status scan_escape(json_scan *s) {
    int c = peek(s);
    if (c <= 0 || !strchr("\"\\/bfnrtu", c))
        return scan_unexpected(s, "one of \"\\/bfnrtu after \\");
    s->at++;
    if (c != 'u') return STATUS_OK;
    int unit = scan_hex(s);
    if (unit < 0) return scan_unexpected(s, "four hexadecimal digits after \\u");
    if (unit == 0) return scan_fail(s, "\\u0000 is not allowed in a string");
    if (unit < 0xd800 || unit > 0xdfff) return STATUS_OK;
    if (unit < 0xdc00 && s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u') {
        s->at += 2;
        int low = scan_hex(s);
        if (low >= 0xdc00 && low <= 0xdfff) return STATUS_OK;
    }
    return scan_fail(s, "half of a surrogate pair (\\ud800 to \\udfff) in a string");
}

// At the opening quote.
static status scan_string(json_scan *s) {
    s->at++;
    for (;;) {
        uint32_t whole;
        bool good;
        int c = peek(s);
        if (c < 0) return scan_fail(s, "a string is not closed");
        if (c == '\n' || c == '\r') return scan_fail(s, "a string is not closed on its line");
        if (c < ' ') return scan_unexpected(s, "no control character in a string");
        if (c == '"') break;
        s->at += utf8_read(&whole, &good, (const char *)s->at, (size_t)(s->end - s->at));
        if (!good) return scan_fail(s, "a string is not valid UTF-8");
        if (c != '\\') continue;
        status rc = scan_escape(s);
        if (rc) return rc;
    }
    s->at++;
    return STATUS_OK;
}

static bool skip_digits(json_scan *s) {
    const unsigned char *start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9') s->at++;
    return s->at > start;
}

static status scan_number(json_scan *s) {
    const unsigned char *start = s->at;
    if (peek(s) == '-') s->at++;
    if (peek(s) == '0')
        s->at++;
    else if (!skip_digits(s))
        return scan_unexpected(s, "a digit");
    if (peek(s) >= '0' && peek(s) <= '9') return scan_fail(s, "a number starts with 0");
    if (peek(s) == '.') {
        s->at++;
        if (!skip_digits(s)) return scan_unexpected(s, "a digit after the point");
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-') s->at++;
        if (!skip_digits(s)) return scan_unexpected(s, "a digit in the exponent");
    }
    size_t length = (size_t)(s->at - start);
    if (length > NUMBER_MAX) return scan_fail(s, "a number of more than 63 characters");
    char text[NUMBER_MAX + 1] = {0};
    memcpy(text, start, length);
    if (!isfinite(strtod(text, NULL))) return scan_fail(s, "a number is too large");
    return STATUS_OK;
}

static status scan_word(json_scan *s, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(s->end - s->at) < length || memcmp(s->at, word, length) != 0)
        return scan_unexpected(s, "a value (null, true, false, a number, \"...\", [...] or {...})");
    s->at += length;
    return STATUS_OK;
}

static status scan_value(json_scan *s, int depth, int line);

static status scan_member(json_scan *s, int depth) {
    int line = s->line;
    if (peek(s) != '"') return scan_unexpected(s, "a key in quotes");
    status rc = scan_string(s);
    if (rc) return rc;
    skip_space(s);
    if (peek(s) != ':') return scan_unexpected(s, "':' after a key");
    s->at++;
    skip_space(s);
    return scan_value(s, depth, line);
}

// At '{' or '['.
static status scan_inside(json_scan *s, int depth, bool object) {
    int close = object ? '}' : ']';
    if (depth == JSON_MAX_DEPTH) return scan_fail(s, "is nested more than 64 deep");
    s->at++;
    skip_space(s);
    if (peek(s) == close) {
        s->at++;
        return STATUS_OK;
    }
    for (;;) {
        status rc = object ? scan_member(s, depth + 1) : scan_value(s, depth + 1, s->line);
        if (rc) return rc;
        skip_space(s);
        int c = peek(s);
        if (c != ',' && c != close) return scan_unexpected(s, object ? "',' or '}'" : "',' or ']'");
        s->at++;
        if (c == close) return STATUS_OK;
        skip_space(s);
        if (peek(s) == close) return scan_fail(s, "a comma stands before the closing bracket");
    }
}

static status scan_value(json_scan *s, int depth, int line) {
    status rc = note_value(s, line);
    if (rc) return rc;
    switch (peek(s)) {
    case '{':
        return scan_inside(s, depth, true);
    case '[':
        return scan_inside(s, depth, false);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return scan_number(s);
    default:
        return scan_word(s, "\"");
    }
}

status json_scan_text(json_scan *s, const char *name, const char *text, size_t size,
                      int first_line) {
    *s = (json_scan){.name = name, .line = first_line, .at = (const unsigned char *)text};
    s->end = s->at + size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return scan_fail(s, "starts with a byte order mark; save it as UTF-8 without one");
    skip_space(s);
    if (peek(s) < 0) return scan_fail(s, "is empty, expected JSON");
    status rc = scan_value(s, 0, s->line);
    if (rc) return rc;
    skip_space(s);
    return peek(s) < 0 ? STATUS_OK : scan_unexpected(s, "nothing after the document");
}

void json_scan_free(json_scan *s) {
    mem_free(s->lines);
    *s = (json_scan){0};
}
