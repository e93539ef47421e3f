// Porter2. Steps have the numbers of the published description. See stem_english.h.
//
// A 'y' that is a consonant is written 'Y' while the steps run. R1 and R2 are the parts of the word
// behind its first (R1) and second (R2) consonant that follows a vowel; most endings go only from
// there.
#include "eval/stem_english.h"

#include <stdbool.h>
#include <string.h>

typedef struct stem {
    char *c; // (length)
    size_t length, r1, r2;
} stem;

typedef struct rule {
    const char *ending, *replacement;
} rule;

static bool is_vowel(char c) {
    return c && strchr("aeiouy", c);
}

static bool ends_in(const stem *s, const char *ending) {
    const size_t n = strlen(ending);
    return s->length >= n && memcmp(s->c + s->length - n, ending, n) == 0;
}

// Puts TEXT in place of the last COUNT bytes; it is never so long that the word would outgrow its
// first form.
static void replace(stem *s, size_t count, const char *text) {
    const size_t n = strlen(text);
    s->length -= count;
    memcpy(s->c + s->length, text, n);
    s->length += n;
}

// The rule of the longest ending that the word has; NULL: none.
static const rule *find_rule(const stem *s, const rule *rules, size_t count) {
    const rule *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (ends_in(s, rules[i].ending) &&
            (!best || strlen(rules[i].ending) > strlen(best->ending)))
            best = &rules[i];
    return best;
}

static bool has_vowel(const stem *s, size_t before) {
    for (size_t i = 0; i < before; i++)
        if (is_vowel(s->c[i])) return true;
    return false;
}

static bool continues(char c) {
    return ((unsigned char)c & 0xc0) == 0x80;
}

// Where the character in front of AT, at least 1, begins.
static size_t character_before(const stem *s, size_t at) {
    for (at--; at > 0 && continues(s->c[at]);) at--;
    return at;
}

// Behind the first consonant that follows a vowel at or behind START.
static size_t region(const stem *s, size_t start) {
    size_t i = start;
    while (i < s->length && !is_vowel(s->c[i])) i++;
    while (i < s->length && is_vowel(s->c[i])) i++;
    for (i += i < s->length; i < s->length && continues(s->c[i]);) i++;
    return i;
}

static void mark_regions(stem *s) {
    static const char *const starts[] = {"gener", "commun", "arsen"};
    s->r1 = region(s, 0);
    for (int i = 0; i < 3; i++) {
        const size_t n = strlen(starts[i]);
        if (s->length >= n && memcmp(s->c, starts[i], n) == 0) s->r1 = n;
    }
    s->r2 = region(s, s->r1);
}

// A short syllable ends the first LENGTH bytes: a vowel between consonants, of which the last is
// none of w, x, Y; or a vowel that begins the word, and a consonant.
static bool ends_short(const stem *s, size_t length) {
    const size_t last = length ? character_before(s, length) : 0;
    if (!last || is_vowel(s->c[last]) || !is_vowel(s->c[last - 1])) return false;
    return last == 1 || (!is_vowel(s->c[last - 2]) && !strchr("wxY", s->c[last]));
}

// --- steps ---------------------------------------------------------------------------------------

static void mark_consonants(stem *s) {
    if (s->c[0] == '\'') {
        s->length--;
        memmove(s->c, s->c + 1, s->length);
    }
    for (size_t i = 0; i < s->length; i++)
        if (s->c[i] == 'y' && (i == 0 || is_vowel(s->c[i - 1]))) s->c[i] = 'Y';
}

static void step_0(stem *s) {
    static const char *const endings[] = {"'s'", "'s", "'"};
    for (int i = 0; i < 3; i++)
        if (ends_in(s, endings[i])) {
            replace(s, strlen(endings[i]), "");
            return;
        }
}

static void step_1a(stem *s) {
    if (ends_in(s, "sses"))
        replace(s, 4, "ss");
    else if (ends_in(s, "ied") || ends_in(s, "ies"))
        replace(s, 3, s->length > 3 && character_before(s, s->length - 3) > 0 ? "i" : "ie");
    else if (ends_in(s, "s") && !ends_in(s, "us") && !ends_in(s, "ss") && s->length > 1 &&
             has_vowel(s, s->length - 2))
        replace(s, 1, "");
}

// Makes good for an ending that went: hopp -> hop, hat -> hate, hop -> hope.
static void mend(stem *s) {
    static const char *const doubles[] = {"bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt"};
    if (ends_in(s, "at") || ends_in(s, "bl") || ends_in(s, "iz")) {
        replace(s, 0, "e");
        return;
    }
    for (int i = 0; i < 9; i++)
        if (ends_in(s, doubles[i])) {
            replace(s, 1, "");
            return;
        }
    if (s->length == s->r1 && ends_short(s, s->length)) replace(s, 0, "e");
}

static void step_1b(stem *s) {
    static const rule rules[] = {{"eed", "ee"}, {"eedly", "ee"}, {"ed", ""},
                                 {"edly", ""},  {"ing", ""},     {"ingly", ""}};
    const rule *r = find_rule(s, rules, 6);
    if (!r) return;
    const size_t n = strlen(r->ending);
    if (*r->replacement) {
        if (s->length - n >= s->r1) replace(s, n, r->replacement);
    } else if (has_vowel(s, s->length - n)) {
        replace(s, n, "");
        mend(s);
    }
}

static void step_1c(stem *s) {
    if (s->length > 2 && (s->c[s->length - 1] | 32) == 'y' && !is_vowel(s->c[s->length - 2]) &&
        character_before(s, s->length - 1) > 0)
        s->c[s->length - 1] = 'i';
}

static void step_2(stem *s) {
    static const rule rules[] = {
        {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},   {"abli", "able"},
        {"entli", "ent"},   {"izer", "ize"},    {"ization", "ize"}, {"ational", "ate"},
        {"ation", "ate"},   {"ator", "ate"},    {"alism", "al"},    {"aliti", "al"},
        {"alli", "al"},     {"fulness", "ful"}, {"ousli", "ous"},   {"ousness", "ous"},
        {"iveness", "ive"}, {"iviti", "ive"},   {"biliti", "ble"},  {"bli", "ble"},
        {"ogi", "og"},      {"fulli", "ful"},   {"lessli", "less"}, {"li", ""}};
    const rule *r = find_rule(s, rules, sizeof rules / sizeof *rules);
    const size_t n = r ? strlen(r->ending) : 0;
    if (!r || s->length - n < s->r1) return;
    const char before = s->length > n ? s->c[s->length - n - 1] : 0;
    if (strcmp(r->ending, "ogi") == 0 && before != 'l') return;
    if (strcmp(r->ending, "li") == 0 && (!before || !strchr("cdeghkmnrt", before))) return;
    replace(s, n, r->replacement);
}

static void step_3(stem *s) {
    static const rule rules[] = {{"tional", "tion"}, {"ational", "ate"}, {"alize", "al"},
                                 {"icate", "ic"},    {"iciti", "ic"},    {"ical", "ic"},
                                 {"ful", ""},        {"ness", ""},       {"ative", ""}};
    const rule *r = find_rule(s, rules, sizeof rules / sizeof *rules);
    const size_t n = r ? strlen(r->ending) : 0;
    if (!r || s->length - n < s->r1) return;
    if (strcmp(r->ending, "ative") == 0 && s->length - n < s->r2) return;
    replace(s, n, r->replacement);
}

static void step_4(stem *s) {
    static const rule rules[] = {
        {"al", ""},   {"ance", ""}, {"ence", ""},  {"er", ""},   {"ic", ""},  {"able", ""},
        {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""}, {"ent", ""}, {"ism", ""},
        {"ate", ""},  {"iti", ""},  {"ous", ""},   {"ive", ""},  {"ize", ""}, {"ion", ""}};
    const rule *r = find_rule(s, rules, sizeof rules / sizeof *rules);
    const size_t n = r ? strlen(r->ending) : 0;
    if (!r || s->length - n < s->r2) return;
    const char before = s->length > n ? s->c[s->length - n - 1] : 0;
    if (strcmp(r->ending, "ion") == 0 && before != 's' && before != 't') return;
    replace(s, n, "");
}

static void step_5(stem *s) {
    const size_t rest = s->length - 1;
    if (!s->length) return;
    if (s->c[rest] == 'e' && (rest >= s->r2 || (rest >= s->r1 && !ends_short(s, rest))))
        replace(s, 1, "");
    else if (s->c[rest] == 'l' && rest >= s->r2 && rest && s->c[rest - 1] == 'l')
        replace(s, 1, "");
}

// --- words ---------------------------------------------------------------------------------------

static bool is_word(const char *word, size_t length, const char *other) {
    return strlen(other) == length && memcmp(word, other, length) == 0;
}

// Words with a stem of their own.
static bool is_exception(char *word, size_t *length) {
    static const rule rules[] = {{"skis", "ski"},      {"skies", "sky"},    {"dying", "die"},
                                 {"lying", "lie"},     {"tying", "tie"},    {"idly", "idl"},
                                 {"gently", "gentl"},  {"ugly", "ugli"},    {"early", "earli"},
                                 {"only", "onli"},     {"singly", "singl"}, {"sky", "sky"},
                                 {"news", "news"},     {"howe", "howe"},    {"atlas", "atlas"},
                                 {"cosmos", "cosmos"}, {"bias", "bias"},    {"andes", "andes"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (is_word(word, *length, rules[i].ending)) {
            *length = strlen(rules[i].replacement);
            memcpy(word, rules[i].replacement, *length);
            return true;
        }
    return false;
}

// Words that step 1a leaves as they are to be.
static bool is_done(const stem *s) {
    static const char *const words[] = {"inning",  "outing",  "canning", "herring",
                                        "earring", "proceed", "exceed",  "succeed"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(s->c, s->length, words[i])) return true;
    return false;
}

size_t stem_english(char *word, size_t length) {
    stem s = {.c = word, .length = length};
    size_t characters = 0;
    for (size_t i = 0; i < length; i++) characters += !continues(word[i]);
    if (is_exception(word, &length) || characters < 3) return length;
    mark_consonants(&s);
    mark_regions(&s);
    step_0(&s);
    step_1a(&s);
    if (!is_done(&s)) {
        step_1b(&s);
        step_1c(&s);
        step_2(&s);
        step_3(&s);
        step_4(&s);
        step_5(&s);
    }
    for (size_t i = 0; i < s.length; i++)
        if (s.c[i] == 'Y') s.c[i] = 'y';
    return s.length;
}
