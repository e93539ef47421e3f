// Streaming reader and writer of comma-separated values. See csv.h.
//
// A row lives in one buffer, its fields one behind the other with a NUL after each; only the row at
// hand is in memory. Reading goes through zlib, which passes plain files through untouched.
#include "data/csv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    BLOCK = 64 * 1024,
    FIELD_LIMIT = 16 << 20,
    ROW_LIMIT = 64 << 20,
    COLUMN_LIMIT = 65536, // far beyond any table of this kind; a header beyond it is not one
    END = -1
};

struct csv {
    char *path;
    gzFile file;
    uint8_t *block; // (BLOCK)
    int used, filled;
    bool at_end;

    buffer text;   // the row's fields, a NUL behind each
    size_t *start; // (count) offsets into text
    size_t start_capacity;
    int count; // fields that the row has, also those beyond the columns

    buffer header; // the names, a NUL behind each
    size_t *name;  // (columns) offsets into header
    int columns;

    int64_t line, row_line, row;
    const char *bad; // why the present row is unusable, NULL if it is fine
    char reason[512];
    status failed;
};

// ---- bytes ----

// Where zlib stopped: the end of the file, or an error to tell.
static status check_end(csv *c) {
    int code;
    const char *text = gzerror(c->file, &code);
    if (code == Z_OK || code == Z_STREAM_END) return STATUS_OK;
    if (code == Z_ERRNO)
        return status_fail(STATUS_IO, "%s: cannot read: %s", c->path, strerror(errno));
    if (code == Z_BUF_ERROR)
        return status_fail(STATUS_FORMAT,
                           "%s, line %lld: the compressed file ends too early; copy it again",
                           c->path, (long long)c->line);
    return status_fail(STATUS_FORMAT, "%s, line %lld: damaged compressed data (%s)", c->path,
                       (long long)c->line, text);
}

static bool refill(csv *c) {
    if (c->at_end || c->failed) return false;
    int got = gzread(c->file, c->block, BLOCK);
    if (got < BLOCK) {
        c->failed = check_end(c);
        c->at_end = got <= 0;
    }
    c->used = 0;
    c->filled = got > 0 ? got : 0;
    return c->filled > 0 && !c->failed;
}

static int byte_peek(csv *c) {
    if (c->used == c->filled && !refill(c)) return END;
    return c->block[c->used];
}

// The next byte; counts lines that end in LF, CR LF or CR.
static int byte_next(csv *c) {
    int byte = byte_peek(c);
    if (byte == END) return END;
    c->used++;
    if (byte == '\n' || (byte == '\r' && byte_peek(c) != '\n')) c->line++;
    return byte;
}

// ---- rows ----

static void spoil(csv *c, const char *why) {
    if (!c->bad) c->bad = why;
}

static void keep(csv *c, int byte) {
    char one = (char)byte;
    if (!byte) spoil(c, "it holds a NUL byte (is it UTF-16? save it as UTF-8)");
    buffer_append(&c->text, &one, 1);
}

// Keeps the plain bytes that follow in the block at once.
static void keep_run(csv *c, bool quoted) {
    int from = c->used, to = from;
    for (; to < c->filled; to++) {
        uint8_t byte = c->block[to];
        if (byte == '"' || byte == '\n' || byte == '\r' || !byte || (byte == ',' && !quoted)) break;
    }
    buffer_append(&c->text, c->block + from, (size_t)(to - from));
    c->used = to;
}

static status field_begin(csv *c) {
    status rc = mem_grow((void **)&c->start, &c->start_capacity, (size_t)c->count + 1,
                         sizeof *c->start, "the fields of a CSV row");
    if (!rc) c->start[c->count++] = c->text.length;
    return rc;
}

static status too_long(const csv *c) {
    return status_fail(
        STATUS_FORMAT,
        "%s, line %lld: a field or row is too long (%d MiB, %d MiB at the most); is a "
        "quote missing?",
        c->path, (long long)c->row_line, FIELD_LIMIT >> 20, ROW_LIMIT >> 20);
}

static status too_many(const csv *c) {
    return status_fail(STATUS_FORMAT, "%s, line %lld: more than %d fields in a row", c->path,
                       (long long)c->row_line, COLUMN_LIMIT);
}

static bool over_limit(const csv *c) {
    return c->text.length - c->start[c->count - 1] > FIELD_LIMIT || c->text.length > ROW_LIMIT;
}

// The inside of a quoted field, up to and with its closing quote.
static status read_quoted(csv *c) {
    int64_t opened = c->line;
    for (;;) {
        keep_run(c, true);
        if (over_limit(c)) return too_long(c);
        int byte = byte_next(c);
        if (byte == END) {
            if (c->failed) return c->failed;
            return status_fail(STATUS_FORMAT, "%s, line %lld: the quote is never closed", c->path,
                               (long long)opened);
        }
        if (byte == '"') {
            if (byte_peek(c) != '"') return c->failed;
            byte_next(c);
        }
        keep(c, byte);
    }
}

// One field with the separator behind it. LAST: that was a line end or the end of the file.
static status read_field(csv *c, bool *last) {
    status rc = field_begin(c);
    if (rc) return rc;
    bool quoted = byte_peek(c) == '"';
    if (quoted) {
        byte_next(c);
        rc = read_quoted(c);
        if (rc) return rc;
    }
    for (;;) {
        if (!quoted) keep_run(c, false);
        if (over_limit(c)) return too_long(c);
        int byte = byte_next(c);
        if (byte == '\r' && byte_peek(c) == '\n') byte = byte_next(c);
        *last = byte == END || byte == '\n' || byte == '\r';
        if (*last || byte == ',') break;
        if (quoted) spoil(c, "text stands behind a closing quote");
        keep(c, byte);
    }
    if (c->failed) return c->failed;
    buffer_append(&c->text, "", 1);
    return c->text.failed;
}

// Passes over empty lines. False at the end of the file.
static bool row_begins(csv *c) {
    int byte;
    while ((byte = byte_peek(c)) == '\n' || byte == '\r') byte_next(c);
    return byte != END;
}

static status read_row(csv *c, bool *more) {
    c->text.length = 0;
    c->count = 0;
    c->bad = NULL;
    *more = row_begins(c);
    if (!*more) return c->failed;
    c->row_line = c->line;
    for (bool last = false; !last;) {
        if (c->count == COLUMN_LIMIT) return c->failed = too_many(c);
        status rc = read_field(c, &last);
        if (rc) return c->failed = rc;
    }
    return STATUS_OK;
}

// ---- the header ----

static status header_keep(csv *c) {
    if (c->bad)
        return status_fail(STATUS_FORMAT, "%s, line %lld: the header is unusable: %s", c->path,
                           (long long)c->row_line, c->bad);
    c->header = c->text;
    c->text = (buffer){0};
    c->name = c->start;
    c->columns = c->count;
    c->start = NULL;
    c->start_capacity = 0;
    c->count = 0;
    return STATUS_OK;
}

static status header_read(csv *c) {
    static const uint8_t mark[3] = {0xef, 0xbb, 0xbf};
    if (byte_peek(c) == mark[0] && c->filled >= 3 && !memcmp(c->block, mark, 3)) c->used = 3;
    bool more;
    status rc = read_row(c, &more);
    if (rc) return rc;
    if (!more)
        return status_fail(STATUS_FORMAT,
                           "%s: the file is empty; a header row must name its columns", c->path);
    return header_keep(c);
}

status csv_open(csv **out, const char *path) {
    *out = NULL;
    csv *c = NULL;
    status rc = mem_new(&c, 1, "a CSV reader");
    if (rc) return rc;
    c->line = 1;
    rc = mem_string(&c->path, path);
    if (!rc) rc = mem_new(&c->block, BLOCK, "a CSV reader's block");
    if (!rc) {
        errno = 0;
        c->file = gzopen(path, "rb");
        if (!c->file)
            rc = errno ? status_fail(STATUS_IO, "%s: cannot open: %s", path, strerror(errno))
                       : status_fail(STATUS_MEMORY, "%s: no memory to open it", path);
    }
    if (!rc) rc = header_read(c);
    if (rc)
        csv_close(c);
    else
        *out = c;
    return rc;
}

void csv_close(csv *c) {
    if (!c) return;
    if (c->file) gzclose(c->file);
    buffer_free(&c->text);
    buffer_free(&c->header);
    mem_free(c->start);
    mem_free(c->name);
    mem_free(c->block);
    mem_free(c->path);
    mem_free(c);
}

int csv_columns(const csv *c) {
    return c->columns;
}

const char *csv_name(const csv *c, int column) {
    if (column < 0 || column >= c->columns) die("csv_name: column %d of %d", column, c->columns);
    return c->header.data + c->name[column];
}

int csv_column(const csv *c, const char *name) {
    for (int i = 0; i < c->columns; i++)
        if (!strcmp(name, csv_name(c, i))) return i;
    return -1;
}

status csv_require(int *column, const csv *c, const char *name) {
    *column = csv_column(c, name);
    if (*column >= 0) return STATUS_OK;
    char list[512];
    size_t used = 0;
    list[0] = 0;
    for (int i = 0; i < c->columns && used < sizeof list - 8; i++) {
        size_t room = sizeof list - used;
        int wrote = snprintf(list + used, room, "%s%.60s", i ? ", " : "", csv_name(c, i));
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    if (used >= sizeof list - 8) strcpy(list + sizeof list - 4, "...");
    bool other = c->columns == 1 && strpbrk(csv_name(c, 0), ";\t");
    return status_fail(STATUS_FORMAT, "%s: no column '%s'; there are: %s%s", c->path, name, list,
                       other ? " (fields must be separated by commas)" : "");
}

// ---- reading on ----

status csv_next(csv *c, bool *more, bool *bad) {
    *more = *bad = false;
    if (c->failed) return c->failed;
    status rc = read_row(c, more);
    if (rc || !*more) return rc;
    c->row++;
    char counts[64];
    if (c->count != c->columns) {
        snprintf(counts, sizeof counts, "%d fields where %d are expected", c->count, c->columns);
        spoil(c, counts);
    }
    if (c->bad)
        snprintf(c->reason, sizeof c->reason, "%.300s, line %lld: %s", c->path,
                 (long long)c->row_line, c->bad);
    *bad = c->bad != NULL;
    c->bad = NULL; // it may point at COUNTS
    return STATUS_OK;
}

const char *csv_path(const csv *c) {
    return c->path;
}

const char *csv_reason(const csv *c) {
    return c->reason;
}

const char *csv_field(const csv *c, int column) {
    if (column < 0 || column >= c->columns) die("csv_field: column %d of %d", column, c->columns);
    return column < c->count ? c->text.data + c->start[column] : ""; // a bad row may be short
}

int64_t csv_line(const csv *c) {
    return c->row_line;
}

int64_t csv_row(const csv *c) {
    return c->row;
}

// ---- writing ----

void csv_write_field(buffer *out, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        buffer_text(out, text);
        return;
    }
    buffer_text(out, "\"");
    for (const char *quote; (quote = strchr(text, '"')); text = quote + 1) {
        buffer_append(out, text, (size_t)(quote - text) + 1);
        buffer_text(out, "\"");
    }
    buffer_text(out, text);
    buffer_text(out, "\"");
}

void csv_write_row(buffer *out, const char *const *fields, int count) {
    for (int i = 0; i < count; i++) {
        if (i) buffer_text(out, ",");
        csv_write_field(out, fields[i]);
    }
    if (count == 1 && !*fields[0]) buffer_text(out, "\"\""); // else it would read as a blank line
    buffer_text(out, "\r\n");
}

library_version csv_zlib_version(void) {
    return version_texts(zlibVersion(), ZLIB_VERSION);
}
