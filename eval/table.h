// Small tables of results as text: plain with aligned columns for a terminal, or Markdown. Numbers
// are right-aligned. It collects cells and writes to a buffer; it prints nothing itself. Called by
// commands that show results.
//
//     table t = {0};
//     table_column(&t, "finding"), table_column(&t, "F1");
//     table_text(&t, "Edema"), table_number(&t, 0.61, 3);
//     status rc = table_write(&t, TABLE_PLAIN, &out);
//     table_free(&t);
#pragma once
#include "core/buffer.h"
#include <stdbool.h>

typedef enum table_style { TABLE_PLAIN, TABLE_MARKDOWN } table_style;

typedef struct table_cell {
    size_t start, length; // in text
    bool number;
} table_cell;

typedef struct table {
    buffer text;       // all cells' texts behind each other
    table_cell *cells; // the header, then rows of `columns` cells
    size_t count, capacity;
    size_t columns;
    size_t rule;   // row before which a line is drawn; 0: none
    status failed; // sticky, returned by table_write
} table;

// Columns are named before any cell is added; later ones are a bug and die.
void table_column(table *t, const char *name);
// The next cell of the row; a row ends when it has a cell for each column.
void table_text(table *t, const char *text);
void table_integer(table *t, int64_t value);
void table_number(table *t, double value, int decimals); // NaN becomes "-"
// A line before the next row (averages below classes). Plain tables only; the last call counts.
void table_rule(table *t);

// Appends the table to OUT; an unfinished row is filled up with empty cells. Returns the first
// failure of the calls above, or its own (MEMORY).
status table_write(const table *t, table_style style, buffer *out);
void table_free(table *t);
