// Tables of abbreviations, sentence starters, collocations and capitals. See sentences.h.
#include "eval/sentences_private.h"
#include "core/files/fs.h"

#include <string.h>

enum { TABLE_MOST_BYTES = 64 << 20 };

// Without a table: titles, months, measures and Latin that stand in reports.
static const char *const abbreviations[] = {
    "dr",  "drs", "mr",  "mrs", "ms",   "prof", "st",   "jr",  "sr",  "vs",  "v",   "e.g", "i.e",
    "etc", "a.m", "p.m", "a.p", "p.a",  "m.d",  "ph.d", "r.n", "u.s", "jan", "feb", "mar", "apr",
    "jun", "jul", "aug", "sep", "sept", "oct",  "nov",  "dec", "mg",  "ft",  "inc", "dept"};

static status fact_add(punkt *p, const char *word, size_t length, uint32_t facts) {
    int32_t id;
    status rc = words_number(&id, p->words, word, length);
    if (!rc)
        rc = mem_grow((void **)&p->facts, &p->capacity, (size_t)id + 1, sizeof *p->facts,
                      "a table of sentence ends");
    if (!rc) p->facts[id] |= facts;
    return rc;
}

uint32_t punkt_facts(const punkt *p, const char *word, size_t length) {
    const int32_t id = words_find(p->words, word, length);
    return id < 0 ? p->unknown : p->facts[id];
}

// --- files ---------------------------------------------------------------------------------------

typedef status line_reader(punkt *p, const char *line, size_t length, const char *where,
                           int number);

static status read_abbreviation(punkt *p, const char *line, size_t length, const char *where,
                                int number) {
    (void)where, (void)number;
    return fact_add(p, line, length, IS_ABBREVIATION);
}

static status read_starter(punkt *p, const char *line, size_t length, const char *where,
                           int number) {
    (void)where, (void)number;
    return fact_add(p, line, length, IS_STARTER);
}

// The TAB of a line that has exactly one.
static status find_tab(const char **tab, const char *line, size_t length, const char *where,
                       int number, const char *form) {
    *tab = memchr(line, '\t', length);
    if (!*tab || memchr(*tab + 1, '\t', length - (size_t)(*tab + 1 - line)))
        return status_fail(STATUS_FORMAT, "%s:%d: expected %s", where, number, form);
    return STATUS_OK;
}

static status read_collocation(punkt *p, const char *line, size_t length, const char *where,
                               int number) {
    const char *tab;
    status rc = find_tab(&tab, line, length, where, number, "two words with a TAB between");
    return rc ? rc : fact_add(p, line, length, IS_COLLOCATION);
}

static status read_capitals(punkt *p, const char *line, size_t length, const char *where,
                            int number) {
    const char *tab;
    status rc = find_tab(&tab, line, length, where, number, "a word, a TAB and a number");
    if (rc) return rc;
    uint32_t facts = 0;
    const char *end = line + length;
    for (const char *at = tab + 1; at < end; at++) {
        if (*at < '0' || *at > '9' || facts > SEEN) facts = SEEN + 1;
        facts = facts > SEEN ? facts : facts * 10 + (uint32_t)(*at - '0');
    }
    if (tab + 1 == end || facts & ~(uint32_t)SEEN)
        return status_fail(STATUS_FORMAT, "%s:%d: the number behind the TAB is none of 0 to %d",
                           where, number, SEEN);
    return fact_add(p, line, (size_t)(tab - line), facts);
}

static status read_lines(punkt *p, const char *folder, const char *name, line_reader *read) {
    char path[PATH_SIZE];
    buffer text = {0};
    status rc = path_join(path, sizeof path, folder, name);
    if (!rc) rc = file_read(path, TABLE_MOST_BYTES, &text);
    if (!rc && !text_is_utf8(text.data ? text.data : "", text.length))
        rc = status_fail(STATUS_FORMAT, "%s is not UTF-8 text", path);
    const char *at = text.data;
    for (int number = 1; !rc && at && *at; number++) {
        const size_t length = strcspn(at, "\n");
        if (length) rc = read(p, at, length, path, number);
        at += length + (at[length] == '\n');
    }
    buffer_free(&text);
    return rc;
}

static status read_folder(punkt *p, const char *folder) {
    status rc = read_lines(p, folder, "abbrev_types.txt", read_abbreviation);
    if (!rc) rc = read_lines(p, folder, "sent_starters.txt", read_starter);
    if (!rc) rc = read_lines(p, folder, "collocations.tab", read_collocation);
    if (!rc) rc = read_lines(p, folder, "ortho_context.tab", read_capitals);
    return rc;
}

static status read_built_in(punkt *p) {
    status rc = STATUS_OK;
    p->unknown = SEEN_UPPER_FIRST | SEEN_LOWER_INSIDE;
    for (size_t i = 0; i < sizeof abbreviations / sizeof *abbreviations && !rc; i++)
        rc = fact_add(p, abbreviations[i], strlen(abbreviations[i]), IS_ABBREVIATION | p->unknown);
    return rc;
}

status punkt_open(punkt **out, const char *folder) {
    status rc = mem_new(out, 1, "a table of sentence ends");
    if (rc) return rc;
    rc = words_open(&(*out)->words);
    if (!rc) rc = mem_string(&(*out)->name, folder ? folder : "built-in");
    if (!rc) rc = folder ? read_folder(*out, folder) : read_built_in(*out);
    if (rc) {
        punkt_close(*out);
        *out = NULL;
    }
    return rc;
}

void punkt_close(punkt *p) {
    if (!p) return;
    words_close(p->words);
    mem_free(p->facts);
    mem_free(p->name);
    mem_free(p);
}

const char *punkt_name(const punkt *p) {
    return p->name;
}
