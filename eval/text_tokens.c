// Words of sentences by NLTK's rules: each replaces what it finds in the text that the one before
// it left, and white space parts the words in the end. See text_tokens.h.
#include "eval/text_tokens.h"

#include <string.h>

typedef struct text_view {
    const uint32_t *c; // (count)
    size_t count;
} text_view;

static bool is_one_of(uint32_t c, const char *set) {
    return c && c < 0x80 && strchr(set, (int)c);
}

// Whether ASCII stands at AT; letters in either case if ANY_CASE.
static bool stands(text_view t, size_t at, const char *ascii, bool any_case) {
    for (; *ascii; ascii++, at++) {
        const uint32_t want = (unsigned char)*ascii;
        if (at >= t.count) return false;
        if (t.c[at] != want && !(any_case && t.c[at] < 0x80 && character_lower(t.c[at]) == want))
            return false;
    }
    return true;
}

static bool is_word_at(text_view t, size_t at) {
    return at < t.count && character_is_word(t.c[at]);
}

// \b in front of AT.
static bool is_edge(text_view t, size_t at) {
    return (at > 0 && is_word_at(t, at - 1)) != is_word_at(t, at);
}

static void put(characters *out, const char *ascii) {
    for (; *ascii; ascii++) characters_add(out, (unsigned char)*ascii);
}

static void copy(characters *out, text_view t, size_t from, size_t count) {
    for (size_t i = from; i < from + count; i++) characters_add(out, t.c[i]);
}

static void copy_apart(characters *out, text_view t, size_t from, size_t count) {
    put(out, " ");
    copy(out, t, from, count);
    put(out, " ");
}

// --- rules: each appends the text that it makes of T ---------------------------------------------

// What is parted from its neighbours: any character of SINGLE and of CURLY, runs of at least LEAST
// of RUN.
typedef struct parting {
    const char *single;
    uint32_t curly[4];
    uint32_t run;
    size_t least, most;
} parting;

static bool is_curly(const parting *p, uint32_t c) {
    for (int i = 0; i < 4; i++)
        if (c && p->curly[i] == c) return true;
    return false;
}

static void part(characters *out, text_view t, const parting *p) {
    for (size_t i = 0; i < t.count;) {
        size_t run = 0;
        while (p->run && run < p->most && i + run < t.count && t.c[i + run] == p->run) run++;
        if (p->run && run >= p->least)
            copy_apart(out, t, i, run);
        else if ((p->single && is_one_of(t.c[i], p->single)) || is_curly(p, t.c[i]))
            copy_apart(out, t, i, run = 1);
        else
            copy(out, t, i, run = 1);
        i += run;
    }
}

static void opening_quotes(characters *out, text_view t) {
    part(out, t,
         &(parting){
             .curly = {0xab, 0x201c, 0x2018, 0x201e}, .run = '`', .least = 1, .most = SIZE_MAX});
}

static void first_quote(characters *out, text_view t) {
    const bool found = t.count && t.c[0] == '"';
    if (found) put(out, "``");
    copy(out, t, found, t.count - found);
}

static void double_backquotes(characters *out, text_view t) {
    part(out, t, &(parting){.run = '`', .least = 2, .most = 2});
}

// A quote behind a blank or a bracket opens.
static void inner_quotes(characters *out, text_view t) {
    for (size_t i = 0; i < t.count;) {
        const size_t quote = stands(t, i + 1, "\"", false)   ? 1
                             : stands(t, i + 1, "''", false) ? 2
                                                             : 0;
        copy(out, t, i, 1);
        if (quote && is_one_of(t.c[i], " ([{<")) {
            put(out, " `` ");
            i += quote;
        }
        i++;
    }
}

// Whether the short form of a word (re, ve, ..., n) stands at AT.
static bool is_short_form(text_view t, size_t at) {
    static const char *const forms[] = {"re", "ve", "ll", "m", "t", "s", "d", "n"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (stands(t, at, forms[i], true)) return true;
    return false;
}

// A quote before a single letter or number that no short form has.
static void single_letters(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        copy(out, t, i, 1);
        if (t.c[i] == '\'' && is_word_at(t, i + 1) && is_edge(t, i + 2) &&
            !is_short_form(t, i + 1)) {
            put(out, " ");
            copy(out, t, ++i, 1);
        }
    }
}

static bool is_closer(uint32_t c, bool wide) {
    return is_one_of(c, wide ? "])}>\"' " : "])}>\"'") ||
           (wide && (c == 0xbb || c == 0x201d || c == 0x2019));
}

// The last dot, if no dot stands before it and only closing signs and white space behind it.
static void last_dot(characters *out, text_view t, bool wide) {
    size_t dot = t.count, end;
    while (dot > 0 && t.c[dot - 1] != '.') dot--;
    if (dot-- < 2 || t.c[dot - 1] == '.') {
        copy(out, t, 0, t.count);
        return;
    }
    for (end = dot + 1; end < t.count && is_closer(t.c[end], wide);) end++;
    for (size_t i = end; i < t.count; i++)
        if (!character_is_space(t.c[i])) {
            copy(out, t, 0, t.count);
            return;
        }
    copy(out, t, 0, dot);
    put(out, wide ? " . " : " .");
    copy(out, t, dot + 1, end - dot - 1);
    put(out, " ");
}

static void last_dot_wide(characters *out, text_view t) {
    last_dot(out, t, true);
}

static void last_dot_narrow(characters *out, text_view t) {
    last_dot(out, t, false);
}

// ':' and ',' unless a digit follows.
static void commas(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        if (is_one_of(t.c[i], ":,") && i + 1 < t.count && !character_is_digit(t.c[i + 1])) {
            copy_apart(out, t, i, 1);
            i++;
        }
        copy(out, t, i, 1);
    }
}

// ':' and ',' at the end, also in front of a last line feed.
static void last_comma(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        const bool last = i + 1 == t.count || (i + 2 == t.count && t.c[i + 1] == '\n');
        if (last && is_one_of(t.c[i], ":,"))
            copy_apart(out, t, i, 1);
        else
            copy(out, t, i, 1);
    }
}

static void dots(characters *out, text_view t) {
    part(out, t, &(parting){.run = '.', .least = 2, .most = SIZE_MAX});
}

static void signs(characters *out, text_view t) {
    part(out, t, &(parting){.single = ";@#$%&"});
}

static void marks(characters *out, text_view t) {
    part(out, t, &(parting){.single = "?!"});
}

static void quotes_before_blanks(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        copy(out, t, i, 1);
        if (t.c[i] != '\'' && stands(t, i + 1, "' ", false)) {
            put(out, " ' ");
            i += 2;
        }
    }
}

static void stars(characters *out, text_view t) {
    part(out, t, &(parting){.single = "*"});
}

static void brackets(characters *out, text_view t) {
    part(out, t, &(parting){.single = "[](){}<>"});
}

static void dashes(characters *out, text_view t) {
    part(out, t, &(parting){.run = '-', .least = 2, .most = 2});
}

static void blanks_around(characters *out, text_view t) {
    copy_apart(out, t, 0, t.count);
}

static void closing_quotes(characters *out, text_view t) {
    part(out, t, &(parting){.curly = {0xbb, 0x201d, 0x2019}});
}

static void double_quotes(characters *out, text_view t) {
    part(out, t, &(parting){.run = '\'', .least = 2, .most = 2});
}

static void straight_quotes(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++)
        if (t.c[i] == '"')
            put(out, " '' ");
        else
            copy(out, t, i, 1);
}

// Endings of words before a blank, parted from what is neither a quote nor a blank.
static void endings(characters *out, text_view t, const char *const *ending, size_t count) {
    for (size_t i = 0; i < t.count; i++) {
        copy(out, t, i, 1);
        if (is_one_of(t.c[i], "' ")) continue;
        for (size_t k = 0; k < count; k++) {
            const size_t length = strlen(ending[k]);
            if (!stands(t, i + 1, ending[k], false) || !stands(t, i + 1 + length, " ", false))
                continue;
            copy_apart(out, t, i + 1, length);
            i += length + 1;
            break;
        }
    }
}

static void short_endings(characters *out, text_view t) {
    static const char *const list[] = {"'s", "'S", "'m", "'M", "'d", "'D", "'"};
    endings(out, t, list, sizeof list / sizeof *list);
}

static void long_endings(characters *out, text_view t) {
    static const char *const list[] = {"'ll", "'LL", "'re", "'RE", "'ve", "'VE", "n't", "N'T"};
    endings(out, t, list, sizeof list / sizeof *list);
}

// Two words written as one: FIRST and SECOND, in any case, at the edges of a word. With a blank in
// front of FIRST that one goes instead.
static void contraction(characters *out, text_view t, const char *first, const char *second) {
    const size_t one = strlen(first), two = strlen(second);
    const bool blank = *first == ' ', before_space = strcmp(first, "wan") == 0;
    for (size_t i = 0; i < t.count;) {
        const size_t end = i + one + two;
        if (stands(t, i, first, true) && stands(t, i + one, second, true) &&
            (blank || is_edge(t, i)) &&
            (before_space ? end < t.count && character_is_space(t.c[end]) : is_edge(t, end))) {
            copy_apart(out, t, i + blank, one - blank);
            copy(out, t, i + one, two);
            put(out, " ");
            i = end;
        } else
            copy(out, t, i++, 1);
    }
}

typedef void rule(characters *out, text_view t);

static rule *const rules[] = {
    opening_quotes,  first_quote,   double_backquotes,    inner_quotes,  single_letters,
    last_dot_wide,   commas,        last_comma,           dots,          signs,
    last_dot_narrow, marks,         quotes_before_blanks, stars,         brackets,
    dashes,          blanks_around, closing_quotes,       double_quotes, straight_quotes,
    short_endings,   long_endings};

static const char *const contractions[][2] = {
    {"can", "not"}, {"d", "'ye"},   {"gim", "me"}, {"gon", "na"}, {"got", "ta"},
    {"lem", "me"},  {"more", "'n"}, {"wan", "na"}, {" 't", "is"}, {" 't", "was"}};

// --- texts ---------------------------------------------------------------------------------------

// A text and the room for the next rule's.
typedef struct tokenizer_work {
    characters now, next;
    sentence_list sentences;
} tokenizer_work;

static void step(tokenizer_work *w) {
    const characters old = w->now;
    w->now = w->next;
    w->next = old;
    w->next.count = 0;
    if (!w->now.failed) w->now.failed = old.failed;
}

static text_view view_of(const characters *text) {
    return (text_view){text->c, text->count};
}

// Appends the words of the sentence in W->now.
static status put_words(buffer *out, tokenizer_work *w, bool *first) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        rules[i](&w->next, view_of(&w->now));
        step(w);
    }
    for (size_t i = 0; i < sizeof contractions / sizeof *contractions; i++) {
        contraction(&w->next, view_of(&w->now), contractions[i][0], contractions[i][1]);
        step(w);
    }
    if (w->now.failed) return w->now.failed;
    bool inside = false;
    for (size_t i = 0; i < w->now.count; i++) {
        const uint32_t c = character_lower(w->now.c[i]);
        const bool space = character_is_space(w->now.c[i]);
        if (!space && !inside && !*first) buffer_text(out, " ");
        if (!space) characters_encode(out, &c, 1), *first = false;
        inside = !space;
    }
    return out->failed;
}

// Deletes each ASCII in turn.
static void clean(characters *text) {
    static const char *const deleted[] = {"\n", "<s>", "</s>"};
    for (int k = 0; k < 3; k++) {
        size_t kept = 0;
        const text_view t = view_of(text);
        for (size_t i = 0; i < t.count; i++)
            if (stands(t, i, deleted[k], false))
                i += strlen(deleted[k]) - 1;
            else
                text->c[kept++] = text->c[i];
        text->count = kept;
    }
}

static status tokenize(buffer *out, tokenizer_work *w, const punkt *p, const char *text) {
    characters whole = {0};
    bool first = true;
    characters_decode(&whole, text, strlen(text));
    clean(&whole);
    status rc = whole.failed;
    if (!rc) rc = punkt_split(&w->sentences, p, whole.c, whole.count);
    for (size_t i = 0; i < w->sentences.count && !rc; i++) {
        const sentence s = w->sentences.list[i];
        w->now.count = w->next.count = 0;
        copy(&w->now, view_of(&whole), s.start, s.end - s.start);
        rc = put_words(out, w, &first);
    }
    buffer_append(out, "", 0); // an empty text is a text
    characters_free(&whole);
    return rc ? rc : out->failed;
}

static void work_free(tokenizer_work *w) {
    characters_free(&w->now);
    characters_free(&w->next);
    sentence_list_free(&w->sentences);
}

status text_tokens(buffer *out, const punkt *p, const char *text) {
    tokenizer_work w = {0};
    status rc = tokenize(out, &w, p, text);
    work_free(&w);
    return rc;
}

status token_texts_open(token_texts *out, const punkt *p, const char *const *text, int64_t count) {
    *out = (token_texts){.count = count};
    status rc = mem_new(&out->text, count, "tokens of texts");
    if (rc) {
        out->count = 0;
        return rc;
    }
#pragma omp parallel
    {
        tokenizer_work w = {0};
#pragma omp for schedule(dynamic, 16)
        for (int64_t i = 0; i < count; i++) {
            buffer tokens = {0};
            if (tokenize(&tokens, &w, p, text[i] ? text[i] : "")) buffer_free(&tokens);
            out->text[i] = tokens.data;
        }
        work_free(&w);
    }
    for (int64_t i = 0; i < count && !rc; i++)
        if (!out->text[i]) rc = status_fail(STATUS_MEMORY, "tokens of text %lld", (long long)i);
    if (rc) token_texts_close(out);
    return rc;
}

void token_texts_close(token_texts *t) {
    for (int64_t i = 0; i < t->count; i++) mem_free(t->text[i]);
    mem_free(t->text);
    *t = (token_texts){0};
}
