// Pages that stand alone: one HTML file with its style, tables, pictures and charts (eval/chart.h)
// inside, that loads nothing and runs nothing; light or dark as the reader's system is, readable on
// a phone and on paper. What comes from outside goes through html_text, which escapes it. Called by
// whoever writes a report.html.
#pragma once
#include "eval/table.h"

// The head, the style and the title; ABOUT: a line below it.
void html_begin(buffer *out, const char *title, const char *about);
void html_end(buffer *out);

// TEXT with what HTML would take for markup escaped; bytes that are not UTF-8 and control
// characters become U+FFFD.
void html_text(buffer *out, const char *text);
// <TAG class="KIND">TEXT</TAG>; KIND NULL: without. TAG and KIND are the program's own words.
void html_element(buffer *out, const char *tag, const char *kind, const char *text);

// T's rows; its first column names them. Scrolls sideways where it is too wide.
void html_table(buffer *out, const table *t);
// Grey pixels (height, width) as a picture in the page, a JPEG of middling quality. Errors: MEMORY,
// FORMAT (sides).
status html_picture(buffer *out, const uint8_t *grey, int width, int height, const char *says);
