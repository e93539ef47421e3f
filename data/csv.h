// Comma-separated values (RFC 4180), read row by row from a plain or gzip-compressed file, and written
// field by field. Fields may be quoted and then hold commas, doubled quotes and line ends. The first
// row names the columns. What the columns mean is the caller's business.
#pragma once
#include "core/buffer.h"
#include "core/version.h"
#include <stdbool.h>

typedef struct csv csv;

// Opens PATH and reads its header. An UTF-8 byte order mark is skipped.
status csv_open(csv **out, const char *path);
// Accepts NULL.
void csv_close(csv *c);

// The column of that name, -1 if there is none. Of two equal names the first counts.
int csv_column(const csv *c, const char *name);
// The same, but a missing column is a FORMAT error that lists the columns there are.
status csv_require(int *column, const csv *c, const char *name);
int csv_columns(const csv *c);
const char *csv_path(const csv *c); // for messages
const char *csv_name(const csv *c, int column);

// Reads the next row. MORE is false at the end of the file. BAD is true where the row itself is
// unusable (wrong number of fields, a NUL byte, text behind a closing quote): csv_reason tells why, and
// reading can go on behind it. A quote inside an unquoted field is an ordinary character. What leaves no
// next row to go on with is an error: an unterminated quote, a field beyond 16 MiB, a truncated or damaged
// gzip file. Blank lines are passed over.
status csv_next(csv *c, bool *more, bool *bad);
// "FILE, line N: why" of the latest bad row.
const char *csv_reason(const csv *c);

// A field of the present row, NUL-terminated; valid until the next csv_next.
const char *csv_field(const csv *c, int column);
// The line on which the present row began, counted from 1; the row's number, 1 behind the header.
int64_t csv_line(const csv *c);
int64_t csv_row(const csv *c);

// Appends TEXT, in quotes where it holds a comma, a quote or a line end. Separators are the caller's.
void csv_write_field(buffer *out, const char *text);
// Appends COUNT fields, commas between them and CRLF behind them.
void csv_write_row(buffer *out, const char *const *fields, int count);

// Of zlib.
library_version csv_zlib_version(void);
