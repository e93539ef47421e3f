// A file of JSON lines: an object a line, blank lines passed over. Read line by line from a map, so
// that the file may be large; what the lines say is the caller's business.
#pragma once
#include "core/files/file_map.h"
#include "core/files/json.h"

typedef struct json_lines {
    const char *path; // borrowed
    file_map map;
    size_t next;      // behind the latest line
    int line;         // its number, from 1 on
    const char *text; // (length): of the latest line; valid until json_lines_close
    size_t length;
    json *object; // the same, valid until the next call
} json_lines;

status json_lines_open(json_lines *l, const char *path);
void json_lines_close(json_lines *l);              // accepts one that is all zero
uint32_t json_lines_checksum(const json_lines *l); // CRC-32 of the file
// The next line that is not blank, parsed; MORE false: there is none. FORMAT with file and line.
status json_lines_next(json_lines *l, bool *more);
