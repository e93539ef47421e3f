// Charts as inline SVG for pages of eval/html.h: bars for classes, lines over steps. Words and
// numbers stand beside the drawing as HTML, so that they keep their size on a phone. Called by
// whoever writes a report.html.
#pragma once
#include "eval/html.h"

enum { CHART_COLOURS = 6 }; // then they come again

// Which colour is whose: NAME (COUNT).
void chart_legend(buffer *out, const char *const *name, int count);

// Bars from 0 to 1 in rows: begin, a row per thing, end. VALUE (COUNT): a bar per series, NaN: "-",
// none.
void chart_bars_begin(buffer *out);
void chart_bars_row(buffer *out, const char *name, const char *note, const double *value,
                    int count);
void chart_bars_end(buffer *out);

// What is drawn of a series: X rises. Values that are not finite leave a gap.
typedef struct chart_line {
    const double *x, *y; // (count)
    int64_t count;
    int colour;
    bool points; // few measurements: dots, joined by a thin line
} chart_line;

// Charts stand side by side where there is room: begin, charts, end.
void charts_begin(buffer *out);
void charts_end(buffer *out);
// LINES (COUNT) in one frame under TITLE, with the legend NAME (COUNT; NULL: none). X is a count of
// UNIT. ZERO: the axis begins at 0. Of many points in a series' width each few become their mean.
// Nothing is drawn, and that is said, where no value is finite.
typedef struct chart_frame {
    const char *title, *unit;
    bool zero;
} chart_frame;
void chart_lines(buffer *out, const chart_frame *frame, const chart_line *line,
                 const char *const *name, int count);
