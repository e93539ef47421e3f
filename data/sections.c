// The report's sections. See sections.h; the table of forced studies stands in sections_custom.c.
//
// The rules are those of MIT-LCP's section parser, which every published number on MIMIC-CXR stands
// on, with their oddities: a header needs one blank before it, its own line is not searched again,
// and a title such as "CHEST, TWO VIEWS:" without text below is no findings section.
#include "data/sections.h"

#include <ctype.h>
#include <string.h>

const char *const sections_variant_names[SECTIONS_VARIANTS] = {"radialog", "mit-lcp"};

// ---- white space as Python's str knows it ----

// Bytes of the white-space character at TEXT (LEFT bytes remain), 0 if it is another one.
static size_t space_length(const char *text, size_t left) {
    const unsigned char *c = (const unsigned char *)text;
    if (!left) return 0;
    if (c[0] == ' ' || (c[0] >= '\t' && c[0] <= '\r') || (c[0] >= 0x1c && c[0] <= 0x1f)) return 1;
    if (left >= 2 && c[0] == 0xc2 && (c[1] == 0x85 || c[1] == 0xa0)) return 2;
    if (left < 3) return 0;
    uint32_t three = (uint32_t)c[0] << 16 | (uint32_t)c[1] << 8 | c[2];
    bool wide = three == 0xe19a80 || (three >= 0xe28080 && three <= 0xe2808a) ||
                three == 0xe280a8 || three == 0xe280a9 || three == 0xe280af || three == 0xe2819f ||
                three == 0xe38080;
    return wide ? 3 : 0;
}

// Moves both ends of [*start, *end) inwards over white space.
static void strip(const char *text, size_t *start, size_t *end) {
    size_t length;
    while ((length = space_length(text + *start, *end - *start))) *start += length;
    for (bool again = true; again;) {
        again = false;
        for (size_t width = 1; width <= 3 && width <= *end - *start; width++)
            if (space_length(text + *end - width, width) == width) {
                *end -= width;
                again = true;
                break;
            }
    }
}

static bool is_blank(const char *text, size_t start, size_t end) {
    strip(text, &start, &end);
    return start == end;
}

size_t report_newlines(char *report) {
    char *to = report;
    for (const char *from = report; *from; from++) {
        if (*from == '\r' && from[1] == '\n') continue;
        *to++ = *from == '\r' ? '\n' : *from;
    }
    *to = 0;
    return (size_t)(to - report);
}

// ---- names ----

// Headers that are spelled out, misspellings of real reports among them.
static const struct {
    const char *name, *target;
} known_names[] = {
    {"impression", "impression"},
    {"conclusion", "impression"},
    {"findings and impression", "impression"},
    {"findings/impression", "impression"},
    {"findings/ impression", "impression"},
    {"ndication", "impression"}, // sic
    {"impresson", "impression"},
    {"imprression", "impression"},
    {"imoression", "impression"},
    {"impressoin", "impression"},
    {"imprssion", "impression"},
    {"impresion", "impression"},
    {"imperssion", "impression"},
    {"mpression", "impression"},
    {"impession", "impression"},
    {"findings", "findings"},
    {"chest, two views", "findings"},
    {"finding", "findings"},
    {"findins", "findings"},
    {"findindgs", "findings"},
    {"findgings", "findings"},
    {"findngs", "findings"},
    {"findnings", "findings"},
    {"finidngs", "findings"},
    {"reference findings", "findings"},
    {"comparison", "comparison"},
    {"comparisons", "comparison"},
    {"reference exam", "comparison"},
    {"comparison exam", "comparison"},
    {"comparison film", "comparison"},
    {"comparision", "comparison"},
    {"comparsion", "comparison"},
    {"comparrison", "comparison"},
    {"comparisions", "comparison"},
    {"indication", "indication"},
    {"reason for examination", "indication"},
    {"reason for exam", "indication"},
    {"clinical indication", "indication"},
    {"idication", "indication"},
    {"history", "history"},
    {"clinical history", "history"},
    {"clinical information", "history"},
    {"patient history", "history"},
    {"pfi", "history"},
    {"examination", "examination"},
    {"exam", "examination"},
    {"type of examination", "examination"},
    {"recommendations", "recommendations"},
    {"recommendation(s)", "recommendations"},
    {"recommendation", "recommendations"},
    {"wet read", "wet read"},
    {"wetread", "wet read"},
    {"preamble", "preamble"},
    {"technique", "technique"},
    {"notification", "notification"},
    {"addendum", "addendum"},
    {"date", "date"},
    {"comment", "comment"},
};

static const char *const main_names[] = {"impression", "findings", "history", "comparison",
                                         "addendum"};

// A header that names the views has the findings below it.
static const char *const view_phrases[] = {
    "chest",          "portable",       "pa and lateral",  "lateral and pa",
    "ap and lateral", "lateral and ap", "frontal and",     "two views",
    "frontal view",   "pa view",        "ap view",         "one view",
    "lateral view",   "bone window",    "frontal upright", "frontal semi-upright",
    "ribs",           "pa and lat",
};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static const char *name_normalize(const char *name) {
    for (size_t i = 0; i < COUNT(known_names); i++)
        if (!strcmp(name, known_names[i].name)) return known_names[i].target;
    for (size_t i = 0; i < COUNT(main_names); i++)
        if (strstr(name, main_names[i])) return main_names[i];
    for (size_t i = 0; i < COUNT(view_phrases); i++)
        if (strstr(name, view_phrases[i])) return "findings";
    return name;
}

// ---- the parser ----

typedef struct header {
    size_t start;                // the line feed before it
    size_t name_start, name_end; // as written
    size_t end;                  // behind the white space after the colon
} header;

static bool is_header_byte(char c) {
    return (c >= 'A' && c <= 'Z') || (c && strchr(" ()/,-", c));
}

// The first header at or behind FROM: a line feed, a blank, capitals and punctuation, a colon, one
// white-space character.
static bool header_find(header *out, const char *report, size_t from, size_t length) {
    for (const char *feed; (feed = memchr(report + from, '\n', length - from)); from++) {
        from = (size_t)(feed - report);
        if (report[from + 1] != ' ') continue;
        size_t start = from + 2, end = start;
        while (is_header_byte(report[end])) end++;
        if (end == start || report[end] != ':') continue;
        size_t space = space_length(report + end + 1, length - end - 1);
        if (!space) continue;
        *out = (header){from, start, end, end + 1 + space};
        return true;
    }
    return false;
}

static status section_add(sections *s, const char *name, size_t start, size_t end) {
    status rc = mem_grow((void **)&s->list, &s->capacity, s->count + 1, sizeof *s->list,
                         "the sections of a report");
    if (!rc) s->list[s->count++] = (section){name, start, end};
    return rc;
}

// Copies the header's name into S, trimmed and in lower case.
static const char *name_keep(sections *s, size_t *used, header h) {
    char *name = s->names + *used;
    strip(s->report, &h.name_start, &h.name_end);
    for (size_t i = h.name_start; i < h.name_end; i++)
        s->names[(*used)++] = (char)tolower((unsigned char)s->report[i]);
    s->names[(*used)++] = 0;
    return name;
}

static status split(sections *s, size_t length) {
    header h;
    size_t used = 0;
    bool found = header_find(&h, s->report, 0, length);
    if (!found) return section_add(s, "full report", 0, length);
    status rc = section_add(s, "preamble", 0, h.name_start);
    while (found && !rc) {
        const char *name = name_normalize(name_keep(s, &used, h));
        size_t start = h.end;
        const char *feed = memchr(s->report + start, '\n', length - start);
        found = header_find(&h, s->report, feed ? (size_t)(feed - s->report) : start, length);
        rc = section_add(s, name, start, found ? h.start : length);
    }
    return rc;
}

static bool is_main(const char *name) {
    return !strcmp(name, "impression") || !strcmp(name, "findings");
}

// Drops impression and findings sections without text; true if one with text stays.
static bool drop_empty(sections *s) {
    size_t kept = 0;
    bool any = false;
    for (size_t i = 0; i < s->count; i++) {
        bool main = is_main(s->list[i].name);
        if (main && is_blank(s->report, s->list[i].start, s->list[i].end)) continue;
        any |= main;
        s->list[kept++] = s->list[i];
    }
    s->count = kept;
    return any;
}

// Where the report names neither, what follows the last section's first empty line stands for them.
static status last_paragraph(sections *s) {
    static const char gap[] = "\n \n";
    section *last = &s->list[s->count - 1];
    const char *found = memmem(s->report + last->start, last->end - last->start, gap, 3);
    if (!found) return STATUS_OK;
    size_t middle = (size_t)(found - s->report), end = last->end;
    last->end = middle;
    return section_add(s, "last_paragraph", middle + 3, end);
}

status sections_parse(sections *out, const char *report) {
    *out = (sections){.report = report};
    size_t length = strlen(report);
    status rc = mem_new(&out->names, length + 1, "the section names of a report");
    if (!rc) rc = split(out, length);
    // The first section is a preamble or the full report, so that one is always left.
    if (!rc && !drop_empty(out)) rc = last_paragraph(out);
    if (rc) sections_free(out);
    return rc;
}

void sections_free(sections *s) {
    mem_free(s->list);
    mem_free(s->names);
    *s = (sections){0};
}

bool sections_last(buffer *out, const sections *s, const char *name) {
    for (size_t i = s->count; i-- > 0;) {
        if (strcmp(s->list[i].name, name)) continue;
        size_t start = s->list[i].start, end = s->list[i].end;
        strip(s->report, &start, &end);
        buffer_append(out, s->report + start, end - start);
        return true;
    }
    return false;
}

void findings_clean(buffer *out, const char *text) {
    size_t start = 0, end = strlen(text);
    strip(text, &start, &end);
    for (const char *feed; (feed = memchr(text + start, '\n', end - start));) {
        buffer_append(out, text + start, (size_t)(feed - text) - start);
        start = (size_t)(feed - text) + 1;
    }
    buffer_append(out, text + start, end - start);
}

void report_clean(buffer *out, const char *text) {
    size_t length = strlen(text);
    const char *before = "";
    for (size_t at = 0, space; at < length;) {
        size_t end = at;
        while (end < length && !(space = space_length(text + end, length - end))) end++;
        if (end > at) {
            buffer_text(out, before);
            buffer_append(out, text + at, end - at);
            before = " ";
        }
        at = end + (end < length ? space : 0);
    }
}

// ---- the conclusion ----

// Byte offset of character INDEX of an UTF-8 text, its length if there are fewer.
static size_t character_offset(const char *text, int index) {
    size_t at = 0;
    for (; text[at]; at++)
        if (((unsigned char)text[at] & 0xc0) != 0x80 && index-- == 0) break;
    return at;
}

const char *sections_conclusion(buffer *out, const sections *s, const char *study,
                                sections_variant variant) {
    static const char *const order[] = {"impression", "findings", "last_paragraph", "comparison"};
    const section_rule *rule = variant == SECTIONS_MIT_LCP ? section_rule_find(study) : NULL;
    if (rule && !rule->name) {
        size_t start = character_offset(s->report, rule->start);
        buffer_append(out, s->report + start, character_offset(s->report, rule->end) - start);
        return "range";
    }
    if (rule) return sections_last(out, s, rule->name) ? rule->name : NULL;
    for (size_t i = 0; i < COUNT(order); i++)
        if (sections_last(out, s, order[i])) return order[i];
    return NULL;
}

bool sections_listed(const char *study, sections_variant variant) {
    return variant != SECTIONS_MIT_LCP || !section_rule_find(study);
}
