// Words by the rules of METEOR's normaliser for English: each replaces what it finds in the text
// that the one before it left. See meteor_private.h.
//
// A rule's pattern is a character on each side of a sign. What one match takes the next cannot
// have, so that of "a,b,c" only the first comma is found; later rules do not make up for it, and
// neither does this file.
#include "eval/meteor_private.h"

#include <string.h>

typedef struct text_view {
    const uint32_t *c; // (count)
    size_t count;
} text_view;

// The letters that the rules know: Latin, Cyrillic, and phonetic extensions.
static bool is_letter(uint32_t c) {
    static const uint32_t range[][2] = {
        {'A', 'Z'},     {'a', 'z'},     {0xc0, 0xd6},     {0xd8, 0xf6},     {0xf8, 0x17e},
        {0x400, 0x4ff}, {0x500, 0x527}, {0xa640, 0xa66e}, {0xa67e, 0xa697}, {0x1d00, 0x1d7f}};
    if (c == 0x160 || c == 0x161 || c == 0x178 || c == 0x17d || c == 0x17e) return true;
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (c >= range[i][0] && c <= range[i][1]) return true;
    return false;
}

static bool is_digit(uint32_t c) {
    return c >= '0' && c <= '9';
}

static bool is_blank(uint32_t c) {
    return c == ' ' || (c >= 9 && c <= 13);
}

static bool is_letter_or_digit(uint32_t c) {
    return is_letter(c) || is_digit(c);
}

static bool is_single_quote(uint32_t c) {
    return c == '`' || c == 0x2018 || c == 0x2019;
}

static bool is_one_of(uint32_t c, const char *set) {
    return c && c < 0x80 && strchr(set, (int)c);
}

static void put(characters *out, const char *ascii) {
    for (; *ascii; ascii++) characters_add(out, (unsigned char)*ascii);
}

static void copy(characters *out, text_view t, size_t from, size_t count) {
    for (size_t i = from; i < from + count; i++) characters_add(out, t.c[i]);
}

// --- rules: each appends the text that it makes of T ---------------------------------------------

static void part_signs(characters *out, text_view t) {
    put(out, " "); // the text's own ends count as blanks in all rules
    for (size_t i = 0; i < t.count; i++) {
        const uint32_t c = t.c[i];
        const bool kept =
            is_letter_or_digit(c) || is_blank(c) || is_one_of(c, ".',-") || is_single_quote(c);
        if (!kept) put(out, " ");
        copy(out, t, i, 1);
        if (!kept) put(out, " ");
    }
    put(out, " ");
}

static size_t dots_at(text_view t, size_t at) {
    size_t n = 0;
    while (at + n < t.count && t.c[at + n] == '.') n++;
    return n;
}

static void part_dots(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        const size_t n = dots_at(t, i);
        if (n > 1) {
            put(out, " ");
            copy(out, t, i, n);
            put(out, " ");
            i += n - 1;
        } else
            copy(out, t, i, 1);
    }
}

typedef bool is_side(uint32_t c);

static bool is_no_digit(uint32_t c) {
    return !is_digit(c);
}

static bool is_no_letter(uint32_t c) {
    return !is_letter(c);
}

static bool is_neither(uint32_t c) {
    return !is_letter_or_digit(c);
}

static bool is_s(uint32_t c) {
    return c == 's';
}

static bool is_dot_letter_or_digit(uint32_t c) {
    return c == '.' || is_letter_or_digit(c);
}

// Puts TEXT for SIGN where LEFT and RIGHT stand beside it.
static void between(characters *out, text_view t, is_side *left, uint32_t sign, is_side *right,
                    const char *text) {
    for (size_t i = 0; i < t.count; i++) {
        copy(out, t, i, 1);
        if (i + 2 < t.count && t.c[i + 1] == sign && left(t.c[i]) && right(t.c[i + 2])) {
            put(out, text);
            copy(out, t, i + 2, 1);
            i += 2;
        }
    }
}

static void comma_1(characters *out, text_view t) {
    between(out, t, is_no_digit, ',', is_no_digit, " , ");
}

static void comma_2(characters *out, text_view t) {
    between(out, t, is_digit, ',', is_no_digit, " , ");
}

static void comma_3(characters *out, text_view t) {
    between(out, t, is_no_digit, ',', is_digit, " , ");
}

static void single_quotes(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++)
        characters_add(out, is_single_quote(t.c[i]) ? '\'' : t.c[i]);
}

static void double_quotes(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        const bool two = t.c[i] == '\'' && i + 1 < t.count && t.c[i + 1] == '\'';
        if (two || t.c[i] == 0x201c || t.c[i] == 0x201d)
            put(out, " \"");
        else
            copy(out, t, i, 1);
        i += two;
    }
}

static void dashes(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        characters_add(out, t.c[i] == 0x2013 ? '-' : t.c[i]);
    }
}

static void double_dashes(characters *out, text_view t) {
    for (size_t i = 0; i < t.count; i++) {
        copy(out, t, i, 1);
        i += t.c[i] == '-' && i + 1 < t.count && t.c[i + 1] == '-';
    }
}

static void hyphens(characters *out, text_view t) {
    between(out, t, is_dot_letter_or_digit, '-', is_letter_or_digit, " ");
}

static void apostrophe_1(characters *out, text_view t) {
    between(out, t, is_no_letter, '\'', is_no_letter, " ' ");
}

static void apostrophe_2(characters *out, text_view t) {
    between(out, t, is_neither, '\'', is_letter, " ' ");
}

static void apostrophe_3(characters *out, text_view t) {
    between(out, t, is_letter, '\'', is_no_letter, " ' ");
}

static void apostrophe_4(characters *out, text_view t) {
    between(out, t, is_letter, '\'', is_letter, " '");
}

static void apostrophe_5(characters *out, text_view t) {
    between(out, t, is_digit, '\'', is_s, " '");
}

typedef void rule(characters *out, text_view t);

static rule *const rules[] = {part_signs,    part_dots,     comma_1,       comma_2,
                              comma_3,       single_quotes, double_quotes, dashes,
                              double_dashes, hyphens,       apostrophe_1,  apostrophe_2,
                              apostrophe_3,  apostrophe_4,  apostrophe_5};

// --- words ---------------------------------------------------------------------------------------

static bool is_word(text_view t, const char *ascii) {
    for (size_t i = 0; i < t.count; i++)
        if (!ascii[i] || t.c[i] != (unsigned char)ascii[i]) return false;
    return !ascii[t.count];
}

// Lower-case words that keep their dot.
static bool keeps_dot(text_view stem) {
    static const char *const kept[] = {"v", "vs", "i.e", "rev", "e.g"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (is_word(stem, kept[i])) return true;
    return false;
}

// The word of T at or behind *AT, which moves behind it.
static text_view next_word(text_view t, size_t *at) {
    while (*at < t.count && is_blank(t.c[*at])) ++*at;
    const size_t start = *at;
    while (*at < t.count && !is_blank(t.c[*at])) ++*at;
    return (text_view){t.c + start, *at - start};
}

// A word that ends in a single dot, before the word NEXT.
static void put_dotted(characters *out, text_view word, text_view next) {
    const text_view stem = {word.c, word.count - 1};
    bool dots = false, letters = false;
    for (size_t i = 0; i < stem.count; i++) {
        dots |= stem.c[i] == '.';
        letters |= is_letter(stem.c[i]);
    }
    const uint32_t first = next.count ? next.c[0] : 0;
    if (dots && letters) {
        for (size_t i = 0; i < stem.count; i++)
            if (stem.c[i] != '.') characters_add(out, stem.c[i]);
    } else if (keeps_dot(stem) || (first >= 'a' && first <= 'z') ||
               (is_word(stem, "pp") && is_digit(first)))
        copy(out, word, 0, word.count);
    else {
        copy(out, stem, 0, stem.count);
        put(out, " .");
    }
}

static void put_words(characters *out, text_view t) {
    size_t at = 0;
    text_view word = next_word(t, &at);
    while (word.count) {
        const text_view next = next_word(t, &at);
        if (out->count) put(out, " ");
        if (word.count > 1 && word.c[word.count - 1] == '.' && dots_at(word, 0) < word.count)
            put_dotted(out, word, next);
        else
            copy(out, word, 0, word.count);
        word = next;
    }
}

// The jar is fed lines with "|||" between texts; what calls it deletes such signs.
static void put_text(characters *out, const char *text) {
    const char *bars;
    while ((bars = strstr(text, "|||"))) {
        characters_decode(out, text, (size_t)(bars - text));
        text = bars + 3;
    }
    characters_decode(out, text, strlen(text));
}

status meteor_normalise(buffer *out, const char *text) {
    characters now = {0}, next = {0};
    put_text(&now, text);
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !now.failed; i++) {
        next.count = 0;
        rules[i](&next, (text_view){now.c, now.count});
        const characters old = now;
        now = next;
        next = old;
    }
    next.count = 0;
    put_words(&next, (text_view){now.c, now.count});
    status rc = now.failed ? now.failed : next.failed;
    if (!rc) characters_encode(out, next.c, next.count);
    buffer_append(out, "", 0);
    characters_free(&now);
    characters_free(&next);
    return rc ? rc : out->failed;
}

bool meteor_is_function_word(const char *word, size_t length) {
    static const char *const list[] = {
        "the",   ",",    ".",     "to",     "of",    "and",   "a",     "in",    "that",
        "for",   "\"",   "is",    "on",     "'s",    "it",    "with",  "was",   "as",
        "said",  "at",   "he",    "by",     "be",    "from",  "have",  "has",   "are",
        "his",   "but",  "an",    "this",   "not",   "i",     "will",  "they",  ")",
        "-rrb-", "(",    "-lrb-", "who",    "their", "had",   "we",    "which", "were",
        "been",  "more", "or",    "s",      "its",   "would", "about", "new",   "one",
        "after", "you",  ":",     "also",   "up",    "when",  "there", "than",  "$",
        "all",   "out",  "her",   "people", "she",   "year",  "two",   "-",     "can",
        "if",    "last", "first", "over",   "other", "into",  "some",  "what",  "so",
        "--",    "no",   "time",  "years",  "could", "?",     "'t",    "'",     "\xe2\x80\x94"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (strlen(list[i]) == length && memcmp(list[i], word, length) == 0) return true;
    return false;
}
