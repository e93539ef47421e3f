// Reads golden files of lines "name value value ...", as scripts/golden/{adamw,metrics}.py write
// them. For tests only: a file or a name that is missing stops the test program.
#pragma once
#include "core/files/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct golden_values {
    size_t count;
    double *value; // (count)
} golden_values;

static inline buffer golden_open(const char *path) {
    buffer text = {0};
    if (file_read(path, 0, &text)) die("%s", status_text());
    return text;
}

// Freed with mem_free(value). strtod reads "nan" and "inf" too.
static inline golden_values golden_find(const buffer *text, const char *name) {
    const size_t length = strlen(name);
    golden_values out = {0};
    const char *at = text->data;
    while (at && !(strncmp(at, name, length) == 0 && at[length] == ' ')) {
        at = strchr(at, '\n');
        at = at && at[1] ? at + 1 : NULL;
    }
    if (!at) die("the golden file has no line '%s'", name);
    size_t line = strcspn(at, "\n");
    if (mem_new(&out.value, line, "golden values")) die("%s", status_text());
    for (at += length; *at == ' ';) {
        char *end;
        out.value[out.count] = strtod(at + 1, &end);
        if (end == at + 1) die("line '%s' of the golden file has no number at %.20s", name, at);
        out.count++;
        at = end;
    }
    return out;
}

// The line "PREFIX.NAME".
static inline golden_values golden_part(const buffer *text, const char *prefix, const char *name) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return golden_find(text, full);
}

static inline double golden_number(const buffer *text, const char *prefix, const char *name) {
    golden_values x = golden_part(text, prefix, name);
    if (x.count != 1) die("line '%s.%s' has %zu numbers, expected 1", prefix, name, x.count);
    double value = x.value[0];
    mem_free(x.value);
    return value;
}
