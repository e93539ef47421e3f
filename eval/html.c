// Writing HTML. See html.h.
#include "eval/html.h"
#include "data/characters.h"
#include "data/image_codec.h"

#include <string.h>

enum { QUALITY = 80, WIDE = 48 }; // WIDE: bytes of a cell that may be broken into lines

// --- style --------------------------------------------------------------------------------------
// Colours of series are for both backgrounds, told apart by those who see red and green alike.
static const char style[] =
    ":root{color-scheme:light "
    "dark;--back:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#5c6670;--line:#d9dee3;"
    "--s0:#2a6fbb;--s1:#d07a17;--s2:#1f8f74;--s3:#9457b5;--s4:#b8465f;--s5:#6b7785;--good:#1f8f74;-"
    "-bad:#c2410c}"
    "@media(prefers-color-scheme:dark){:root{--back:#14171a;--card:#1d2125;--ink:#e6e9ec;--soft:#"
    "9aa5af;"
    "--line:#343b42;--s0:#6aa9ee;--s1:#eda14e;--s2:#4fc2a3;--s3:#c294dd;--s4:#e58098;--s5:#9aa7b4;-"
    "-good:#4fc2a3;"
    "--bad:#fb923c}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif}"
    "main{max-width:66rem;margin:0 auto;padding:1.5rem 1rem "
    "4rem}h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem}"
    "h2{font-size:1.2rem;margin:2.6rem 0 .6rem}h3{font-size:.95rem;margin:0 0 .3rem}p{margin:.4rem "
    "0}"
    ".soft,small{color:var(--soft)}small,.soft{font-size:.86rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:"
    "tabular-nums}"
    "th,td{padding:.3rem .9rem .3rem 0;text-align:left;border-bottom:1px solid "
    "var(--line);vertical-align:top}"
    "thead th{color:var(--soft);font-weight:500;white-space:nowrap}tbody "
    "th{font-weight:500;overflow-wrap:anywhere;"
    "min-width:8rem}td.wide{min-width:18rem}tr.rule th,tr.rule td{border-top:2px solid var(--soft)}"
    ".wide{overflow-wrap:anywhere}pre{font-size:.8rem;overflow-x:auto}details{margin:.6rem 0}summary{cursor:pointer;font-size:.92rem}"
    // charts
    ".legend{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.86rem;margin:.4rem 0}"
    ".legend span{overflow-wrap:anywhere}.legend "
    "i{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;"
    "margin-right:.4rem;vertical-align:-1px}"
    ".bars{display:grid;grid-template-columns:minmax(8rem,15rem) 1fr;gap:.35rem "
    ".8rem;align-items:center;"
    "font-size:.88rem}.bars b{font-weight:500}.bar{display:grid;grid-template-columns:1fr "
    "3rem;gap:.5rem;"
    "align-items:center;font-size:.78rem;font-variant-numeric:tabular-nums;line-height:1.15}"
    ".bar svg{width:100%;height:.62rem;display:block;background:var(--card);border-radius:2px}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1."
    "4rem 2rem}"
    ".chart{min-width:0}.plot{position:relative;height:13rem;margin:.3rem 0 1.3rem 3.4rem;"
    "border-left:1px solid var(--line);border-bottom:1px solid var(--line)}"
    ".plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}"
    ".plot .y,.plot .x{position:absolute;font-size:.74rem;color:var(--soft);white-space:nowrap;"
    "font-variant-numeric:tabular-nums}.plot .y{right:calc(100% + .4rem);transform:translateY(50%)}"
    ".plot .x{top:calc(100% + .15rem);transform:translateX(-50%)}"
    "svg path,svg "
    "line{fill:none;vector-effect:non-scaling-stroke}.grid{stroke:var(--line);stroke-width:1}"
    ".t0{stroke:var(--s0)}.t1{stroke:var(--s1)}.t2{stroke:var(--s2)}.t3{stroke:var(--s3)}.t4{"
    "stroke:var(--s4)}"
    ".t5{stroke:var(--s5)}.f0{fill:var(--s0)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--"
    "s3)}"
    ".f4{fill:var(--s4)}.f5{fill:var(--s5)}.b0{background:var(--s0)}.b1{background:var(--s1)}"
    ".b2{background:var(--s2)}.b3{background:var(--s3)}.b4{background:var(--s4)}.b5{background:var("
    "--s5)}"
    // cards: a picture beside texts
    ".card{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:1rem;margin:1rem 0;"
    "display:grid;grid-template-columns:15rem 1fr;gap:1rem 1.2rem}.card "
    "img{width:100%;border-radius:4px;display:block;"
    "background:#000}.texts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,"
    "17rem),1fr));gap:1rem}"
    ".texts p{font-size:.92rem;overflow-wrap:anywhere}"
    ".tags{display:flex;flex-wrap:wrap;gap:.3rem;margin-top:.5rem}.tags "
    "span{font-size:.76rem;border:1px solid "
    "var(--line);border-radius:99px;padding:.05rem .55rem}.tags "
    ".good{border-color:var(--good);color:var(--good)}"
    ".tags .bad{border-color:var(--bad);color:var(--bad)}.tags "
    ".missed{border-style:dashed;border-color:var(--bad);"
    "color:var(--bad)}"
    "@media(max-width:40rem){.card{grid-template-columns:1fr}.card img{max-width:15rem}"
    ".bars{grid-template-columns:1fr;gap:.1rem}.bars b{margin-top:.5rem}}"
    "@media "
    "print{:root{--back:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb}body{font-size:10pt}"
    "main{max-width:none;padding:0}.scroll{overflow:visible}table{font-size:7pt}"
    "th,td{padding:.15rem .5rem .15rem 0}thead th{white-space:normal}td.wide{min-width:0}"
    ".card,.chart,.bars>div{break-inside:avoid}h2{break-after:avoid}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

// --- text ---------------------------------------------------------------------------------------
static const char *escape_of(uint32_t c) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    }
    const bool space = c == '\n' || c == '\t';
    return (c < 0x20 && !space) || (c >= 0x7f && c < 0xa0) ? "\xef\xbf\xbd" : NULL;
}

void html_text(buffer *out, const char *text) {
    characters all = {0};
    characters_decode(&all, text, strlen(text));
    for (size_t i = 0; i < all.count; i++) {
        const char *escape = escape_of(all.c[i]);
        if (escape)
            buffer_text(out, escape);
        else
            characters_encode(out, &all.c[i], 1);
    }
    if (all.failed && !out->failed) out->failed = all.failed;
    characters_free(&all);
}

void html_element(buffer *out, const char *tag, const char *kind, const char *text) {
    buffer_print(out, kind ? "<%s class=\"%s\">" : "<%s>", tag, kind);
    html_text(out, text);
    buffer_print(out, "</%s>\n", tag);
}

// --- the page -----------------------------------------------------------------------------------
void html_begin(buffer *out, const char *title, const char *about) {
    buffer_text(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
        "style-src 'unsafe-inline'\">\n");
    html_element(out, "title", NULL, title);
    buffer_text(out, "<style>");
    buffer_text(out, style);
    buffer_text(out, "</style>\n</head>\n<body>\n<main>\n");
    html_element(out, "h1", NULL, title);
    html_element(out, "p", "soft", about);
}

void html_end(buffer *out) {
    buffer_text(out, "</main>\n</body>\n</html>\n");
}

// --- tables -------------------------------------------------------------------------------------
// What stands in parentheses, an interval, is not broken into lines.
static void cell_text(buffer *out, const table *t, const table_cell *cell) {
    buffer text = {0};
    int depth = 0;
    for (size_t i = 0; i < cell->length; i++) {
        const char *c = &t->text.data[cell->start + i];
        depth += (*c == '(') - (*c == ')');
        if (*c == ' ' && depth > 0 && cell->length <= WIDE)
            buffer_text(&text, "\xc2\xa0");
        else
            buffer_append(&text, c, 1);
    }
    if (text.failed && !out->failed) out->failed = text.failed;
    if (text.length && !text.failed) html_text(out, text.data);
    buffer_free(&text);
}

static void table_cells(buffer *out, const table *t, size_t row) {
    for (size_t c = 0; c < t->columns; c++) {
        const size_t i = row * t->columns + c;
        const char *tag = row && c ? "td" : "th";
        const bool wide = row && c && i < t->count && t->cells[i].length > WIDE;
        buffer_print(out, "<%s%s>", tag, wide ? " class=\"wide\"" : "");
        if (i < t->count) cell_text(out, t, &t->cells[i]);
        buffer_print(out, "</%s>", tag);
    }
}

void html_table(buffer *out, const table *t) {
    if (t->failed) {
        out->failed = out->failed ? out->failed : t->failed;
        return;
    }
    const size_t rows = (t->count + t->columns - 1) / t->columns;
    buffer_text(out, "<div class=\"scroll\"><table>\n<thead><tr>");
    table_cells(out, t, 0);
    buffer_text(out, "</tr></thead>\n<tbody>\n");
    for (size_t row = 1; row < rows; row++) {
        buffer_text(out, row == t->rule ? "<tr class=\"rule\">" : "<tr>");
        table_cells(out, t, row);
        buffer_text(out, "</tr>\n");
    }
    buffer_text(out, "</tbody>\n</table></div>\n");
}

// --- pictures -----------------------------------------------------------------------------------
// RFC 4648.
static void base64(buffer *out, const uint8_t *bytes, size_t count) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < count; i += 3) {
        const size_t left = count - i;
        const uint32_t word = (uint32_t)bytes[i] << 16 |
                              (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                              (left > 2 ? bytes[i + 2] : 0);
        const char four[4] = {digits[word >> 18], digits[word >> 12 & 63],
                              left > 1 ? digits[word >> 6 & 63] : '=',
                              left > 2 ? digits[word & 63] : '='};
        buffer_append(out, four, 4);
    }
}

status html_picture(buffer *out, const uint8_t *grey, int width, int height, const char *says) {
    buffer file = {0};
    status rc = image_encode_jpeg(&file, grey, width, height, QUALITY, "a picture of a page");
    if (!rc) {
        buffer_print(out, "<img width=\"%d\" height=\"%d\" alt=\"", width, height);
        html_text(out, says);
        buffer_text(out, "\" src=\"data:image/jpeg;base64,");
        base64(out, (const uint8_t *)file.data, file.length);
        buffer_text(out, "\">\n");
        rc = out->failed;
    }
    buffer_free(&file);
    return rc;
}
