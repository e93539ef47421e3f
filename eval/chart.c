// Drawing charts. See chart.h.
#include "eval/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 1000, HEIGHT = 400, POINTS = 300 };

void chart_legend(buffer *out, const char *const *name, int count) {
    buffer_text(out, "<div class=\"legend\">");
    for (int i = 0; i < count; i++) {
        buffer_print(out, "<span><i class=\"b%d\"></i>", i % CHART_COLOURS);
        html_text(out, name[i]);
        buffer_text(out, "</span>");
    }
    buffer_text(out, "</div>\n");
}

// --- bars ---------------------------------------------------------------------------------------
void chart_bars_begin(buffer *out) {
    buffer_text(out, "<div class=\"bars\">\n");
}

void chart_bars_end(buffer *out) {
    buffer_text(out, "</div>\n");
}

void chart_bars_row(buffer *out, const char *name, const char *note, const double *value,
                    int count) {
    buffer_text(out, "<b>");
    html_text(out, name);
    buffer_text(out, " <small>");
    html_text(out, note);
    buffer_text(out, "</small></b><div>");
    for (int i = 0; i < count; i++) {
        const double x = isfinite(value[i]) ? fmin(fmax(value[i], 0), 1) : 0;
        char number[16] = "-";
        if (isfinite(value[i])) snprintf(number, sizeof number, "%.2f", value[i]);
        buffer_print(out,
                     "<div class=\"bar\"><svg viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\" "
                     "aria-hidden=\"true\">"
                     "<rect class=\"f%d\" width=\"%.4f\" height=\"1\"/></svg><span>%s</span></div>",
                     i % CHART_COLOURS, x, number);
    }
    buffer_text(out, "</div>\n");
}

// --- axes ---------------------------------------------------------------------------------------
typedef struct axis {
    double low, high, step;
} axis;

static void take(axis *a, double x) {
    if (!isfinite(x)) return;
    if (!(a->low <= x)) a->low = x;
    if (!(a->high >= x)) a->high = x;
}

// About PARTS steps of 1, 2 or 5 times a power of ten; with WHOLE, of at least 1.
static void divide(axis *a, int parts, bool whole) {
    const double about = (a->high - a->low) / parts, power = pow(10, floor(log10(about))),
                 part = about / power;
    a->step = power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
    if (whole && a->step < 1) a->step = 1;
}

// How many points become one.
static int64_t group_of(const chart_line *l) {
    return l->points || l->count <= POINTS ? 1 : (l->count + POINTS - 1) / POINTS;
}

// Of every GROUP points the mean of those that are finite. Returns false where there is none.
static bool mean_of(double *x, double *y, const chart_line *l, int64_t first, int64_t group) {
    double sum_x = 0, sum_y = 0;
    int64_t finite = 0;
    for (int64_t i = first; i < first + group && i < l->count; i++) {
        if (!isfinite(l->y[i])) continue;
        sum_x += l->x[i], sum_y += l->y[i];
        finite++;
    }
    *x = sum_x / (double)finite, *y = sum_y / (double)finite;
    return finite > 0;
}

static axis axis_of_y(const chart_line *line, int count, bool zero) {
    axis a = {NAN, NAN, 0};
    for (int k = 0; k < count; k++)
        for (int64_t i = 0, group = group_of(&line[k]); i < line[k].count; i += group) {
            double at_x, at_y;
            if (mean_of(&at_x, &at_y, &line[k], i, group)) take(&a, at_y);
        }
    if (!isfinite(a.high - a.low)) return (axis){NAN, NAN, 0}; // none, or too far apart to draw
    if (zero && a.low > 0) a.low = 0;
    if (zero && a.high < 0) a.high = 0;
    const double size = fmax(fabs(a.low), fabs(a.high));
    if (!(a.high - a.low > size * 1e-5)) { // as good as one value: it stands in the middle
        const double room = size > 0 ? size / 50 : 1;
        a.low -= zero && a.low == 0 ? 0 : room;
        a.high += room;
    }
    divide(&a, 5, false);
    a.low = floor(a.low / a.step + 1e-9) * a.step;
    a.high = ceil(a.high / a.step - 1e-9) * a.step;
    return a;
}

static axis axis_of_x(const chart_line *line, int count) {
    axis a = {NAN, NAN, 0};
    for (int k = 0; k < count; k++)
        for (int64_t i = 0; i < line[k].count; i++) take(&a, line[k].x[i]);
    if (!(a.high > a.low)) a.low -= 1, a.high += 1;
    divide(&a, 5, true);
    return a;
}

static double place(const axis *a, double x, double room) {
    return (x - a->low) / (a->high - a->low) * room;
}

// With as many decimals as tell steps apart.
static void number_text(char out[48], double value, double step) {
    const int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    if (fabs(value) < step * 1e-6)
        snprintf(out, 48, "0");
    else if (decimals > 6 || fabs(value) >= 1e7)
        snprintf(out, 48, "%.4g", value);
    else
        snprintf(out, 48, "%.*f", decimals, value);
}

static void draw_axes(buffer *out, const axis *x, const axis *y) {
    const double first = ceil(x->low / x->step - 1e-9) * x->step;
    char text[48];
    for (int i = 0; y->low + i * y->step <= y->high + y->step / 2; i++) {
        const double value = y->low + i * y->step;
        number_text(text, value, y->step);
        buffer_print(out, "<span class=\"y\" style=\"bottom:%.2f%%\">%s</span>",
                     place(y, value, 100), text);
    }
    for (int i = 0; first + i * x->step <= x->high + x->step * 1e-9; i++) {
        const double value = first + i * x->step;
        number_text(text, value, x->step);
        buffer_print(out, "<span class=\"x\" style=\"left:%.2f%%\">%s</span>", place(x, value, 100),
                     text);
    }
}

static void draw_grid(buffer *out, const axis *y) {
    buffer_text(out, "<path class=\"grid\" d=\"");
    for (int i = 1; y->low + i * y->step <= y->high + y->step / 2; i++)
        buffer_print(out, "M0 %.1fH%d", HEIGHT - place(y, y->low + i * y->step, HEIGHT), WIDTH);
    buffer_text(out, "\"/>");
}

// --- lines --------------------------------------------------------------------------------------
static void draw_path(buffer *out, const chart_line *l, const axis *x, const axis *y, int64_t group,
                      bool dots) {
    bool pen = false;
    for (int64_t i = 0; i < l->count; i += group) {
        double at_x, at_y;
        if (!mean_of(&at_x, &at_y, l, i, group)) {
            pen = false;
            continue;
        }
        buffer_print(out,
                     dots  ? "M%.1f %.1fh0"
                     : pen ? "L%.1f %.1f"
                           : "M%.1f %.1f",
                     place(x, at_x, WIDTH), HEIGHT - place(y, at_y, HEIGHT));
        pen = true;
    }
}

static void draw_line(buffer *out, const chart_line *l, const axis *x, const axis *y) {
    const int64_t group = group_of(l);
    const int colour = l->colour % CHART_COLOURS;
    buffer_print(out, "<path class=\"t%d\" stroke-width=\"%s\" stroke-linejoin=\"round\" d=\"",
                 colour, l->points ? "1" : "1.6");
    draw_path(out, l, x, y, group, false);
    buffer_text(out, "\"/>");
    if (!l->points && l->count > 1) return;
    buffer_print(out, "<path class=\"t%d\" stroke-width=\"6\" stroke-linecap=\"round\" d=\"",
                 colour);
    draw_path(out, l, x, y, group, true);
    buffer_text(out, "\"/>");
}

void charts_begin(buffer *out) {
    buffer_text(out, "<div class=\"charts\">\n");
}

void charts_end(buffer *out) {
    buffer_text(out, "</div>\n");
}

static void draw_legend(buffer *out, const chart_line *line, const char *const *name, int count) {
    buffer_text(out, "<div class=\"legend\">");
    for (int i = 0; i < count; i++) {
        buffer_print(out, "<span><i class=\"b%d\"></i>", line[i].colour % CHART_COLOURS);
        html_text(out, name[i]);
        buffer_text(out, "</span>");
    }
    buffer_text(out, "</div>");
}

void chart_lines(buffer *out, const chart_frame *frame, const chart_line *line,
                 const char *const *name, int count) {
    const axis y = axis_of_y(line, count, frame->zero);
    buffer_text(out, "<div class=\"chart\"><h3>");
    html_text(out, frame->title);
    buffer_text(out, " <small>over ");
    html_text(out, frame->unit);
    buffer_text(out, "</small></h3>");
    if (!isfinite(y.low)) {
        buffer_text(out, "<p class=\"soft\">no numbers yet</p></div>\n");
        return;
    }
    const axis x = axis_of_x(line, count);
    if (name) draw_legend(out, line, name, count);
    buffer_text(out, "<div class=\"plot\">");
    buffer_print(
        out, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"",
        WIDTH, HEIGHT);
    html_text(out, frame->title);
    buffer_text(out, "\">");
    draw_grid(out, &y);
    for (int k = 0; k < count; k++) draw_line(out, &line[k], &x, &y);
    buffer_text(out, "</svg>");
    draw_axes(out, &x, &y);
    buffer_text(out, "</div></div>\n");
}
