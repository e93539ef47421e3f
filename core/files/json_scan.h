// The strict reading of JSON text that core/files/json.c does before it lets cJSON build the tree:
// cJSON accepts more than RFC 8259 and keeps no positions. Private to core/files/json.c.
#pragma once
#include "core/memory.h"

typedef struct json_scan {
    const char *name; // for error texts; borrowed
    int line;         // of the present byte; 0: the text has no lines
    const unsigned char *at, *end;
    int *lines; // of every value in document order; a member of an object has its key's
    size_t count, capacity;
} json_scan;

// Checks all of TEXT. S is zeroed before and freed with json_scan_free whatever comes back.
status json_scan_text(json_scan *s, const char *name, const char *text, size_t size,
                      int first_line);
void json_scan_free(json_scan *s);
