// Text tables. See table.h.
#include "eval/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Line breaks and tabs would tear a row apart; they become spaces.
static void text_flatten(char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ') text[i] = ' ';
}

static void cell_add(table *t, const char *text, bool number) {
    if (t->failed) return;
    t->failed = mem_grow((void **)&t->cells, &t->capacity, t->count + 1, sizeof *t->cells,
                         "a table's cells");
    if (t->failed) return;
    size_t start = t->text.length, length = strlen(text);
    buffer_append(&t->text, text, length);
    t->failed = t->text.failed;
    if (t->failed) return;
    text_flatten(t->text.data + start, length);
    t->cells[t->count++] = (table_cell){.start = start, .length = length, .number = number};
}

void table_column(table *t, const char *name) {
    if (t->count != t->columns) die("table_column: column '%s' after cells", name);
    cell_add(t, name, false);
    t->columns = t->count;
}

static void cell_expect(const table *t, const char *who) {
    if (!t->columns && !t->failed) die("%s: the table has no columns", who);
}

void table_text(table *t, const char *text) {
    cell_expect(t, "table_text");
    cell_add(t, text, false);
}

void table_integer(table *t, int64_t value) {
    char text[32];
    cell_expect(t, "table_integer");
    snprintf(text, sizeof text, "%lld", (long long)value);
    cell_add(t, text, true);
}

// A double in %f has at most 309 digits before the point; decimals are held to what is readable.
void table_number(table *t, double value, int decimals) {
    char text[384];
    cell_expect(t, "table_number");
    if (decimals < 0 || decimals > 17) die("table_number: %d decimals", decimals);
    if (isnan(value))
        snprintf(text, sizeof text, "-");
    else
        snprintf(text, sizeof text, "%.*f", decimals, value);
    cell_add(t, text, true);
}

void table_rule(table *t) {
    cell_expect(t, "table_rule");
    if (t->columns) t->rule = (t->count + t->columns - 1) / t->columns;
}

// --- writing -------------------------------------------------------------------------------------

typedef struct layout {
    const table *table;
    table_style style;
    size_t rows;   // with the header
    size_t *width; // (columns), characters
    bool *number;  // (columns): right-aligned, because some cell of it is a number
} layout;

static bool must_escape(const layout *l, char c) {
    return l->style == TABLE_MARKDOWN && (c == '|' || c == '\\');
}

// NULL where an unfinished last row has none.
static const table_cell *cell_at(const table *t, size_t row, size_t column) {
    size_t i = row * t->columns + column;
    return i < t->count ? &t->cells[i] : NULL;
}

// Characters are counted as code points of UTF-8: bytes that continue one have no width.
static size_t cell_width(const layout *l, const table_cell *cell) {
    size_t width = 0;
    for (size_t i = 0; cell && i < cell->length; i++) {
        char c = l->table->text.data[cell->start + i];
        if (((unsigned char)c & 0xc0) != 0x80) width += must_escape(l, c) ? 2 : 1;
    }
    return width;
}

static void repeat(buffer *out, const char *text, size_t count) {
    for (size_t i = 0; i < count; i++) buffer_text(out, text);
}

static void cell_write(const layout *l, buffer *out, size_t row, size_t column) {
    const table_cell *cell = cell_at(l->table, row, column);
    size_t fill = l->width[column] - cell_width(l, cell);
    if (l->number[column]) repeat(out, " ", fill);
    for (size_t i = 0; cell && i < cell->length; i++) {
        const char *c = &l->table->text.data[cell->start + i];
        if (must_escape(l, *c)) buffer_text(out, "\\");
        buffer_append(out, c, 1);
    }
    if (!l->number[column]) repeat(out, " ", fill);
}

static void row_write(const layout *l, buffer *out, size_t row) {
    const bool markdown = l->style == TABLE_MARKDOWN;
    if (markdown) buffer_text(out, "| ");
    for (size_t k = 0; k < l->table->columns; k++) {
        if (k) buffer_text(out, markdown ? " | " : "  ");
        cell_write(l, out, row, k);
    }
    // Plain lines end without blanks.
    while (!markdown && out->length && out->data[out->length - 1] == ' ') out->length--;
    buffer_text(out, markdown ? " |\n" : "\n");
}

static void rule_write(const layout *l, buffer *out) {
    const bool markdown = l->style == TABLE_MARKDOWN;
    for (size_t k = 0; k < l->table->columns; k++) {
        if (markdown) buffer_text(out, k ? " | " : "| ");
        if (!markdown && k) buffer_text(out, "--");
        repeat(out, "-", l->width[k] - (markdown && l->number[k] ? 1 : 0));
        if (markdown && l->number[k]) buffer_text(out, ":");
    }
    buffer_text(out, markdown ? " |\n" : "\n");
}

static void layout_measure(layout *l) {
    const table *t = l->table;
    l->rows = (t->count + t->columns - 1) / t->columns;
    for (size_t i = 0; i < t->count; i++) {
        size_t column = i % t->columns, width = cell_width(l, &t->cells[i]);
        if (width > l->width[column]) l->width[column] = width;
        if (t->cells[i].number) l->number[column] = true;
    }
    // Markdown wants three dashes under each name.
    for (size_t k = 0; l->style == TABLE_MARKDOWN && k < t->columns; k++)
        if (l->width[k] < 3) l->width[k] = 3;
}

status table_write(const table *t, table_style style, buffer *out) {
    layout l = {.table = t, .style = style};
    status rc = t->failed;
    if (rc) return rc;
    if (!t->columns) die("table_write: the table has no columns");
    rc = mem_new(&l.width, t->columns, "a table's widths");
    if (!rc) rc = mem_new(&l.number, t->columns, "a table's widths");
    if (rc) goto done;
    layout_measure(&l);
    for (size_t row = 0; row < l.rows; row++) {
        if (row == 1 || (style == TABLE_PLAIN && row && row == t->rule)) rule_write(&l, out);
        row_write(&l, out, row);
    }
    if (style == TABLE_MARKDOWN && l.rows == 1) rule_write(&l, out);
    rc = out->failed;
done:
    mem_free(l.number);
    mem_free(l.width);
    return rc;
}

void table_free(table *t) {
    mem_free(t->cells);
    buffer_free(&t->text);
    *t = (table){0};
}
