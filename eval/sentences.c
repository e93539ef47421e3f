// Sentence ends by what stands around a mark: the word before it, up to the next word. See
// sentences.h.
//
// Marks are judged one by one, each with its own little text, as NLTK does it, since what a word is
// taken for depends on where that text is cut.
#include "eval/sentences_private.h"

#include <string.h>

// A word of a mark's text and what is decided of it.
typedef struct token {
    size_t start, end;
    bool ends, abbreviation, ellipsis;
} token;

typedef struct splitter {
    const punkt *table;
    const uint32_t *c; // (count): the text
    size_t count;
    token *token; // of the present mark
    size_t tokens, room;
    buffer key, pair; // scratch for look-ups
    sentence_list *out;
} splitter;

// --- characters ----------------------------------------------------------------------------------

static bool is_one_of(uint32_t c, const char *set) {
    return c && c < 0x80 && strchr(set, (int)c);
}

static bool is_mark(uint32_t c) {
    return is_one_of(c, ".?!");
}

static bool ends_word(uint32_t c) {
    return is_one_of(c, ")\";}]*:@'({[?!");
}

static bool begins_word(uint32_t c) {
    return !is_one_of(c, "(\"`{[:;&#*@)}]-,");
}

// --- words ---------------------------------------------------------------------------------------

// Length of a sign of several characters at AT: dashes, dots, dots with white space between; 0:
// none.
static size_t sign_length(const uint32_t *c, size_t at, size_t end) {
    size_t i = at;
    if (c[at] != '-' && c[at] != '.') return 0;
    while (i < end && c[i] == c[at]) i++;
    if (i - at > 1) return i - at;
    if (c[at] == '-') return 0;
    // "(. )(. )+." : at least three dots.
    for (i = at; i + 2 < end && c[i] == '.' && character_is_space(c[i + 1]) && c[i + 2] == '.';)
        i += 2;
    return i - at >= 4 ? i + 1 - at : 0;
}

static bool is_word_end(const uint32_t *c, size_t at, size_t end) {
    return at == end || character_is_space(c[at]) || ends_word(c[at]) || sign_length(c, at, end);
}

static size_t word_length(const uint32_t *c, size_t at, size_t end) {
    const size_t sign = sign_length(c, at, end);
    if (sign) return sign;
    if (!begins_word(c[at])) return 1;
    for (size_t i = at + 1;; i++)
        if (is_word_end(c, i, end) || (c[i] == ',' && is_word_end(c, i + 1, end))) return i - at;
}

static status find_words(splitter *s, size_t start, size_t end) {
    s->tokens = 0;
    for (size_t at = start; at < end;) {
        if (character_is_space(s->c[at])) {
            at++;
            continue;
        }
        const size_t length = word_length(s->c, at, end);
        status rc = mem_grow((void **)&s->token, &s->room, s->tokens + 1, sizeof *s->token,
                             "words of a sentence");
        if (rc) return rc;
        s->token[s->tokens++] = (token){.start = at, .end = at + length};
        at += length;
    }
    return STATUS_OK;
}

// "-?[.,]?\d[\d,.-]*", with its last dot.
static bool is_number(const splitter *s, const token *t) {
    size_t at = t->start;
    at += at < t->end && s->c[at] == '-';
    at += at < t->end && (s->c[at] == '.' || s->c[at] == ',');
    if (at == t->end || !character_is_digit(s->c[at])) return false;
    for (; at < t->end; at++)
        if (!character_is_digit(s->c[at]) && !is_one_of(s->c[at], ",.-")) return false;
    return true;
}

// Appends the word as the table has it: lower-case, numbers as one, without its last dot if BARE.
static void put_type(buffer *out, const splitter *s, const token *t, bool bare) {
    if (is_number(s, t)) {
        buffer_text(out, "##number##");
        return;
    }
    const size_t dot = bare && t->end - t->start > 1 && s->c[t->end - 1] == '.';
    for (size_t i = t->start; i < t->end - dot; i++) {
        const uint32_t c = character_lower(s->c[i]);
        characters_encode(out, &c, 1);
    }
}

// What the table knows of the word.
static uint32_t facts_of(splitter *s, const token *t, bool bare) {
    s->key.length = 0;
    put_type(&s->key, s, t, bare);
    return punkt_facts(s->table, s->key.data ? s->key.data : "", s->key.length);
}

// --- what a word is ------------------------------------------------------------------------------

static bool is_initial(const splitter *s, const token *t) {
    const uint32_t c = s->c[t->start];
    return t->end - t->start == 2 && s->c[t->end - 1] == '.' && character_is_word(c) &&
           !character_is_digit(c);
}

static bool is_dots(const splitter *s, const token *t) {
    for (size_t i = t->start; i < t->end; i++)
        if (s->c[i] != '.') return false;
    return t->end - t->start > 1;
}

// "x" or "y-x" of the word "y-x." is an abbreviation.
static bool is_abbreviation(splitter *s, const token *t) {
    const char *tail;
    s->key.length = 0;
    for (size_t i = t->start; i + 1 < t->end; i++) {
        const uint32_t c = character_lower(s->c[i]);
        characters_encode(&s->key, &c, 1);
    }
    if (!s->key.length) return false;
    if (punkt_facts(s->table, s->key.data, s->key.length) & IS_ABBREVIATION) return true;
    tail = memrchr(s->key.data, '-', s->key.length);
    tail = tail ? tail + 1 : s->key.data;
    return punkt_facts(s->table, tail, s->key.length - (size_t)(tail - s->key.data)) &
           IS_ABBREVIATION;
}

// First look: by the word alone.
static void judge_word(splitter *s, token *t) {
    const size_t length = t->end - t->start;
    if (length == 1 && is_mark(s->c[t->start]))
        t->ends = true;
    else if (is_dots(s, t))
        t->ellipsis = true;
    else if (s->c[t->end - 1] == '.' && s->c[t->end - 2] != '.') {
        t->abbreviation = is_abbreviation(s, t);
        t->ends = !t->abbreviation;
    }
}

typedef enum start_guess { STARTS_NOT, STARTS, STARTS_PERHAPS } start_guess;

// Whether the word begins a sentence, by how it is written here and elsewhere.
static start_guess judge_capital(splitter *s, const token *t) {
    const uint32_t first = s->c[t->start];
    if (t->end - t->start == 1 && is_one_of(first, ";:,.!?")) return STARTS_NOT;
    const uint32_t seen = facts_of(s, t, t->ends);
    if (character_is_upper(first) && seen & SEEN_LOWER && !(seen & SEEN_UPPER_INSIDE))
        return STARTS;
    if (character_is_lower(first) && (seen & SEEN_UPPER || !(seen & SEEN_LOWER_FIRST)))
        return STARTS_NOT;
    return STARTS_PERHAPS;
}

static bool is_collocation(splitter *s, const token *t, const token *next) {
    s->pair.length = 0;
    put_type(&s->pair, s, t, true);
    buffer_text(&s->pair, "\t");
    put_type(&s->pair, s, next, next->ends);
    return punkt_facts(s->table, s->pair.data ? s->pair.data : "", s->pair.length) & IS_COLLOCATION;
}

// Second look: with the next word.
static void judge_pair(splitter *s, token *t, const token *next) {
    if (s->c[t->end - 1] != '.') return;
    const bool initial = is_initial(s, t);
    if (is_collocation(s, t, next)) {
        t->ends = false;
        return;
    }
    const start_guess guess = judge_capital(s, next);
    const uint32_t seen = facts_of(s, next, next->ends);
    const bool upper = character_is_upper(s->c[next->start]);
    if ((t->abbreviation || t->ellipsis) && !initial &&
        (guess == STARTS || (upper && seen & IS_STARTER))) {
        t->ends = true;
        return;
    }
    if (!initial && !is_number(s, t)) return;
    if (guess == STARTS_NOT ||
        (guess == STARTS_PERHAPS && initial && upper && !(seen & SEEN_LOWER)))
        t->ends = false;
}

// Whether a sentence ends inside the text [START, END): at a word that is not its last.
static status judge(bool *ends, splitter *s, size_t start, size_t end) {
    *ends = false;
    status rc = find_words(s, start, end);
    for (size_t i = 0; i < s->tokens && !rc; i++) judge_word(s, &s->token[i]);
    for (size_t i = 0; i + 1 < s->tokens && !rc && !*ends; i++) {
        judge_pair(s, &s->token[i], &s->token[i + 1]);
        *ends = s->token[i].ends;
    }
    if (!rc) rc = s->key.failed ? s->key.failed : s->pair.failed;
    return rc;
}

// --- marks ---------------------------------------------------------------------------------------

// A '.', '?' or '!' and its text: from the word before it up to the end of what follows it.
typedef struct mark {
    bool found;
    size_t word, at, next, end; // next: where the following word begins, or the character behind AT
} mark;

// Whether a sentence may end at AT.
static bool mark_at(mark *m, const splitter *s, size_t at) {
    if (!is_mark(s->c[at]) || at + 1 == s->count) return false;
    *m = (mark){.found = true, .at = at, .next = at + 1, .end = at + 2};
    if (ends_word(s->c[at + 1])) return true;
    while (m->next < s->count && character_is_space(s->c[m->next])) m->next++;
    if (m->next == at + 1 || m->next == s->count) return false;
    for (m->end = m->next; m->end < s->count && !character_is_space(s->c[m->end]);) m->end++;
    return true;
}

// Behind the last blank of [FROM, AT); a blank at FROM itself does not count.
static size_t word_before(const splitter *s, size_t from, size_t at, size_t otherwise) {
    for (size_t i = at; i > from + 1; i--)
        if (is_one_of(s->c[i - 1], " \t\n\r\v\f")) return i;
    return otherwise;
}

static status put_sentence(splitter *s, size_t start, size_t end) {
    sentence_list *out = s->out;
    status rc = mem_grow((void **)&out->list, &out->capacity, out->count + 1, sizeof *out->list,
                         "sentences");
    if (!rc) out->list[out->count++] = (sentence){start, end};
    return rc;
}

static status judge_mark(splitter *s, const mark *m, size_t *start) {
    bool ends;
    status rc = judge(&ends, s, m->word, m->end);
    if (rc || !ends) return rc;
    rc = put_sentence(s, *start, m->at + 1);
    *start = m->next;
    return rc;
}

// Of marks in one word the last one counts.
static status find_sentences(splitter *s) {
    mark last = {0};
    size_t start = 0, end = s->count;
    status rc = STATUS_OK;
    for (size_t at = 0; at < s->count && !rc; at++) {
        mark m;
        if (!mark_at(&m, s, at)) continue;
        m.word = word_before(s, last.at, at, last.word);
        if (last.found && last.at <= m.word) rc = judge_mark(s, &last, &start);
        last = m;
    }
    if (!rc && last.found) rc = judge_mark(s, &last, &start);
    while (end > start && character_is_space(s->c[end - 1])) end--;
    return rc ? rc : put_sentence(s, start, end);
}

// --- quotes and brackets -------------------------------------------------------------------------

// Length of closing quotes and brackets at the start of [START, END), if white space, dashes or the
// end follow, and *AFTER of them with that white space; else 0.
static size_t closers(const uint32_t *c, size_t start, size_t end, size_t *after) {
    size_t at = start;
    while (at < end && is_one_of(c[at], "\"')]}")) at++;
    const size_t length = at - start;
    const bool dashes = at + 1 < end && c[at] == '-' && c[at + 1] == '-';
    if (!length || (at < end && !character_is_space(c[at]) && !dashes)) return 0;
    while (at < end && character_is_space(c[at])) at++;
    *after = at - start;
    return length;
}

// What closes a sentence's quotes and brackets belongs to it. Empty sentences go.
static void move_closers(splitter *s) {
    sentence *list = s->out->list;
    size_t kept = 0, skip = 0;
    for (size_t i = 0; i < s->out->count; i++) {
        sentence x = {list[i].start + skip, list[i].end};
        skip = 0;
        size_t length =
            i + 1 < s->out->count ? closers(s->c, list[i + 1].start, list[i + 1].end, &skip) : 0;
        if (length) x.end = list[i + 1].start + length;
        if (x.start < x.end) list[kept++] = x;
    }
    s->out->count = kept;
}

status punkt_split(sentence_list *out, const punkt *p, const uint32_t *c, size_t count) {
    splitter s = {.table = p, .c = c, .count = count, .out = out};
    out->count = 0;
    status rc = find_sentences(&s);
    if (!rc) move_closers(&s);
    mem_free(s.token);
    buffer_free(&s.key);
    buffer_free(&s.pair);
    return rc;
}

void sentence_list_free(sentence_list *s) {
    mem_free(s->list);
    *s = (sentence_list){0};
}
