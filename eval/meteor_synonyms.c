// Sets of synonyms out of METEOR's jar. See meteor_private.h.
//
// english.synsets has two lines for each base form: the form, the numbers of its sets.
// english.exceptions likewise: a base form, the forms that are irregularly made of it. A word has
// the sets of its own form, and those of the base forms that it is an exception of, or else of the
// first base form that an ending taken away leads to.
#include "core/files/file_map.h"
#include "core/files/zip_archive.h"
#include "eval/meteor_private.h"

#include <stdlib.h>
#include <string.h>

static const char synsets_name[] = "synonym/english.synsets";
static const char exceptions_name[] = "synonym/english.exceptions";
static const char blanks[] = " \t\r\f";

// A text of the jar: the line to be read next.
typedef struct lines {
    const char *jar, *name, *next, *end;
    int64_t number;
} lines;

typedef struct line {
    const char *text;
    size_t length;
} line;

// A set of a word of the texts.
typedef struct member {
    int32_t word, set;
} member;

typedef struct synonym_reader {
    const words *texts;
    words *forms; // base forms
    line *sets;   // (forms): their lines of numbers
    size_t sets_room;
    member *list;
    size_t count, room;
} synonym_reader;

static lines lines_of(const char *jar, const char *name, const char *text, size_t size) {
    return (lines){jar, name, text, size ? text + size : text, 0};
}

static bool next_line(line *out, lines *l) {
    if (l->next == l->end) return false;
    const char *end = memchr(l->next, '\n', (size_t)(l->end - l->next));
    *out = (line){l->next, (size_t)((end ? end : l->end) - l->next)};
    if (out->length && out->text[out->length - 1] == '\r') out->length--;
    l->next = end ? end + 1 : l->end;
    l->number++;
    return true;
}

// Two lines that belong together; *MORE is false at the end.
static status next_pair(bool *more, line *first, line *second, lines *l) {
    *more = next_line(first, l);
    if (!*more || next_line(second, l)) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: %s, line %lld has no second line", l->jar, l->name,
                       (long long)l->number);
}

// The word at or behind AT, *LENGTH bytes; 0 at the end.
static const char *next_word(const char *at, const char *end, size_t *length) {
    while (at < end && strchr(blanks, *at)) at++;
    const char *start = at;
    while (at < end && !strchr(blanks, *at)) at++;
    *length = (size_t)(at - start);
    return start;
}

static status parse_set(int32_t *out, const char *text, size_t length) {
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || value > INT32_MAX)
            return status_fail(STATUS_FORMAT, "'%.*s' is no number of a set of synonyms",
                               length > 40 ? 40 : (int)length, text);
        value = value * 10 + text[i] - '0';
    }
    *out = (int32_t)value;
    return value <= INT32_MAX ? STATUS_OK
                              : status_fail(STATUS_FORMAT, "%lld is no number of a set of synonyms",
                                            (long long)value);
}

static status add_sets(synonym_reader *r, int32_t word, line numbers) {
    const char *end = numbers.text + numbers.length;
    size_t length;
    for (const char *at = next_word(numbers.text, end, &length); length;
         at = next_word(at + length, end, &length)) {
        int32_t set = 0;
        status rc = parse_set(&set, at, length);
        if (!rc)
            rc = mem_grow((void **)&r->list, &r->room, r->count + 1, sizeof *r->list, "synonyms");
        if (rc) return rc;
        r->list[r->count++] = (member){word, set};
    }
    return STATUS_OK;
}

static status read_synsets(synonym_reader *r, lines l) {
    line form = {0}, sets = {0};
    bool more;
    for (;;) {
        int32_t id;
        status rc = next_pair(&more, &form, &sets, &l);
        if (rc || !more) return rc;
        rc = words_number(&id, r->forms, form.text, form.length);
        if (!rc)
            rc = mem_grow((void **)&r->sets, &r->sets_room, (size_t)id + 1, sizeof *r->sets,
                          "synonyms");
        if (rc) return rc;
        r->sets[id] = sets;
    }
}

static status add_form(synonym_reader *r, int32_t word, const char *form, size_t length) {
    const int32_t id = words_find(r->forms, form, length);
    return id < 0 ? STATUS_OK : add_sets(r, word, r->sets[id]);
}

// HAS_BASE (text words): which words are exceptions.
static status read_exceptions(synonym_reader *r, bool *has_base, lines l) {
    line base = {0}, others = {0};
    bool more;
    for (;;) {
        status rc = next_pair(&more, &base, &others, &l);
        if (rc || !more) return rc;
        const char *end = others.text + others.length;
        size_t length;
        for (const char *at = next_word(others.text, end, &length); length && !rc;
             at = next_word(at + length, end, &length)) {
            const int32_t word = words_find(r->texts, at, length);
            if (word < 0) continue;
            has_base[word] = true;
            rc = add_form(r, word, base.text, base.length);
        }
        if (rc) return rc;
    }
}

// Adds the sets of the first base form that an ending taken away leads to.
static status add_base(synonym_reader *r, int32_t word, buffer *scratch) {
    static const char *const endings[][2] = {
        {"s", ""},      {"ses", "s"},   {"xes", "x"}, {"zes", "z"}, {"ches", "ch"},
        {"shes", "sh"}, {"men", "man"}, {"ies", "y"}, {"s", ""},    {"ies", "y"},
        {"es", "e"},    {"es", ""},     {"ed", "e"},  {"ed", ""},   {"ing", "e"},
        {"ing", ""},    {"er", ""},     {"est", ""},  {"er", "e"},  {"est", "e"}};
    const char *text = words_text(r->texts, word);
    const size_t length = strlen(text);
    if (length < 3 || strcmp(text + length - 2, "ss") == 0) return STATUS_OK;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(endings[i][0]);
        if (length < n || strcmp(text + length - n, endings[i][0]) != 0) continue;
        scratch->length = 0;
        buffer_append(scratch, text, length - n);
        buffer_text(scratch, endings[i][1]);
        if (scratch->failed) return scratch->failed;
        if (words_find(r->forms, scratch->data, scratch->length) >= 0)
            return add_form(r, word, scratch->data, scratch->length);
    }
    return STATUS_OK;
}

static status add_words(synonym_reader *r, const bool *has_base) {
    buffer scratch = {0};
    status rc = STATUS_OK;
    for (int32_t word = 0; word < words_count(r->texts) && !rc; word++) {
        const char *text = words_text(r->texts, word);
        rc = add_form(r, word, text, strlen(text));
        if (!rc && !has_base[word]) rc = add_base(r, word, &scratch);
    }
    buffer_free(&scratch);
    return rc;
}

static int compare_members(const void *a, const void *b) {
    const member *x = a, *y = b;
    if (x->word != y->word) return x->word < y->word ? -1 : 1;
    return (x->set > y->set) - (x->set < y->set);
}

static status put_members(meteor_synonyms *out, synonym_reader *r) {
    const int32_t count = words_count(r->texts);
    status rc = mem_new(&out->first, count + 1, "synonyms");
    if (!rc) rc = mem_new(&out->set, r->count, "synonyms");
    if (rc) return rc;
    if (r->count) qsort(r->list, r->count, sizeof *r->list, compare_members);
    size_t next = 0;
    int32_t kept = 0;
    for (int32_t word = 0; word < count; word++) {
        out->first[word] = kept;
        for (; next < r->count && r->list[next].word == word; next++)
            if (kept == out->first[word] || out->set[kept - 1] != r->list[next].set)
                out->set[kept++] = r->list[next].set;
    }
    out->first[count] = kept;
    return STATUS_OK;
}

status meteor_synonyms_read(meteor_synonyms *out, const meteor_synonym_texts *t, const words *w) {
    synonym_reader r = {.texts = w};
    bool *has_base = NULL;
    *out = (meteor_synonyms){0};
    status rc = mem_new(&has_base, words_count(w) + 1, "synonyms");
    if (!rc) rc = words_open(&r.forms);
    if (!rc) rc = read_synsets(&r, lines_of(t->name, synsets_name, t->synsets, t->synsets_size));
    if (!rc)
        rc = read_exceptions(&r, has_base,
                             lines_of(t->name, exceptions_name, t->exceptions, t->exceptions_size));
    if (!rc) rc = add_words(&r, has_base);
    if (!rc) rc = put_members(out, &r);
    words_close(r.forms);
    mem_free(r.sets);
    mem_free(r.list);
    mem_free(has_base);
    if (rc) meteor_synonyms_close(out);
    return rc;
}

// --- the jar -------------------------------------------------------------------------------------

static status read_entry(const char **text, size_t *size, void **owned, zip_archive *zip,
                         const char *jar, const char *name) {
    const unsigned char *data;
    const zip_entry *e = zip_lookup(zip, name);
    if (!e)
        return status_fail(STATUS_FORMAT, "%s has no %s: it is not METEOR 1.5's jar", jar, name);
    status rc = zip_read(zip, e, &data, owned);
    if (rc) return rc;
    *text = (const char *)data;
    *size = e->size;
    return STATUS_OK;
}

status meteor_synonyms_open(meteor_synonyms *out, const char *jar, const words *w) {
    meteor_synonym_texts t = {.name = jar};
    void *owned[2] = {NULL, NULL};
    zip_archive *zip = NULL;
    file_map map;
    *out = (meteor_synonyms){0};
    status rc = file_map_open(&map, jar);
    if (rc) return rc;
    rc = zip_open(&zip, jar, map.data, map.size);
    if (!rc) rc = read_entry(&t.synsets, &t.synsets_size, &owned[0], zip, jar, synsets_name);
    if (!rc)
        rc = read_entry(&t.exceptions, &t.exceptions_size, &owned[1], zip, jar, exceptions_name);
    if (!rc) rc = meteor_synonyms_read(out, &t, w);
    mem_free(owned[0]);
    mem_free(owned[1]);
    zip_close(zip);
    file_map_close(&map);
    return rc;
}

void meteor_synonyms_close(meteor_synonyms *s) {
    mem_free(s->first);
    mem_free(s->set);
    *s = (meteor_synonyms){0};
}

bool meteor_synonyms_share(const meteor_synonyms *s, int32_t x, int32_t y) {
    int32_t i = s->first[x], j = s->first[y];
    while (i < s->first[x + 1] && j < s->first[y + 1]) {
        if (s->set[i] == s->set[j]) return true;
        if (s->set[i] < s->set[j])
            i++;
        else
            j++;
    }
    return false;
}
