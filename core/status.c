#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char failure_text[1024];

status status_fail(status code, const char *format, ...) {
    // Formatted aside first: an argument may be the present text itself.
    char text[sizeof failure_text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return status_carry(code, text);
}

status status_carry(status code, const char *text) {
    if (text != failure_text) snprintf(failure_text, sizeof failure_text, "%s", text);
    // One error is one line, whatever bytes a file name or a record holds.
    for (char *c = failure_text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    return code;
}

const char *status_text(void) {
    return failure_text;
}

const char *status_name(status code) {
    static const char *const names[] = {
#define X(name, text) text,
        STATUS_LIST(X)
#undef X
    };
    return names[code];
}

void die_at(const char *file, int line, const char *format, ...) {
    fprintf(stderr, "radialog: internal error at %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
