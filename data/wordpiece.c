// BERT's basic tokenization: a text becomes words. Knows no vocabulary.
//
// The reference works on whole strings, step by step: split at special tokens, lower-case, drop
// control characters, blanks around CJK characters, split at blanks, decompose (NFD) and drop
// category Mn, split at punctuation. Here each character goes through these steps once, and a word
// is decomposed when it ends. This is the same because lower-casing is done character by character
// there too (Python's rule for the final sigma never applies), and no step but the splits looks at
// neighbours, save the canonical order of marks, which stays within a word.
#include "data/wordpiece_private.h"

#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

const char *const wordpiece_special_names[WORDPIECE_SPECIALS] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]",
                                                                 "[MASK]"};

library_version wordpiece_utf8proc_version(void) {
    char built[48];
    snprintf(built, sizeof built, "%d.%d.%d", UTF8PROC_VERSION_MAJOR, UTF8PROC_VERSION_MINOR,
             UTF8PROC_VERSION_PATCH);
    return version_texts(utf8proc_version(), built);
}

// --- characters ----------------------------------------------------------------------------------
typedef enum char_kind { CHAR_LETTER, CHAR_BLANK, CHAR_DROPPED, CHAR_ALONE } char_kind;

static bool is_cjk(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

// What blanks, control characters and CJK characters do to the words around them; punctuation is a
// letter here, because it splits words only after they are decomposed. Line and paragraph
// separators are no category Zs, but Python's split() takes them as blanks. Unassigned characters
// count as control characters.
static char_kind kind_of(uint32_t c) {
    if (c < 0x80) {
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return CHAR_BLANK;
        return c < ' ' || c == 0x7f ? CHAR_DROPPED : CHAR_LETTER;
    }
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CHAR_BLANK;
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
        return CHAR_DROPPED;
    default:
        break;
    }
    if (c == 0xfffd) return CHAR_DROPPED;
    return is_cjk(c) ? CHAR_ALONE : CHAR_LETTER;
}

static bool is_punctuation(uint32_t c) {
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

// U+0130 is the only character whose lower case is two, of which the second, a mark, goes with the
// accents; utf8proc gives the first.
static uint32_t lower_case(uint32_t c) {
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

// --- words ---------------------------------------------------------------------------------------
typedef struct splitter {
    wordpiece_work *work;
    const wordpiece_rules *rules;
    wordpiece_visit *visit;
    void *context;
    size_t count; // characters of the word so far
    bool ascii, ended;
} splitter;

static int mark_class(uint32_t c) {
    return c < 0x300 ? 0 : utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

// Canonical order: a stable sort by class of each run of marks. By counting, since a hostile text
// is one run.
static void sort_marks(uint32_t *run, uint32_t *sorted, size_t count) {
    size_t place[257] = {0};
    for (size_t i = 0; i < count; i++) place[mark_class(run[i]) + 1]++;
    for (int i = 0; i < 256; i++) place[i + 1] += place[i];
    for (size_t i = 0; i < count; i++) sorted[place[mark_class(run[i])]++] = run[i];
    memcpy(run, sorted, count * sizeof *run);
}

static void order_marks(uint32_t *word, uint32_t *sorted, size_t count) {
    for (size_t i = 0, end; i < count; i = end) {
        end = i + 1;
        if (!mark_class(word[i])) continue;
        while (end < count && mark_class(word[end])) end++;
        if (end - i > 1) sort_marks(word + i, sorted, end - i);
    }
}

// The word decomposed (NFD), without the marks of category Mn. No character decomposes into more
// than four.
static status strip_accents(splitter *s) {
    enum { MOST = 4 };
    wordpiece_work *k = s->work;
    utf8proc_int32_t parts[MOST];
    size_t count = 0, kept = 0;
    status rc = STATUS_OK;
    for (size_t i = 0; i < s->count; i++) {
        if (count + MOST > k->sorted_room)
            rc = mem_grow((void **)&k->sorted, &k->sorted_room, count + MOST, sizeof *k->sorted,
                          "a word");
        if (rc) return rc;
        utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)k->word[i], parts, MOST,
                                                     UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, NULL);
        if (n < 0 || n > MOST)
            die("utf8proc: U+%04X: %s", k->word[i], n < 0 ? utf8proc_errmsg(n) : "too long");
        for (utf8proc_ssize_t j = 0; j < n; j++) k->sorted[count++] = (uint32_t)parts[j];
    }
    rc = mem_grow((void **)&k->word, &k->word_room, count, sizeof *k->word, "a word");
    if (rc) return rc;
    memcpy(k->word, k->sorted, count * sizeof *k->word);
    order_marks(k->word, k->sorted, count);
    for (size_t i = 0; i < count; i++)
        if (k->word[i] < 0x80 ||
            utf8proc_category((utf8proc_int32_t)k->word[i]) != UTF8PROC_CATEGORY_MN)
            k->word[kept++] = k->word[i];
    s->count = kept;
    return STATUS_OK;
}

static void give(splitter *s, const uint32_t *word, size_t count) {
    char bytes[WORDPIECE_WORD_BYTES];
    size_t length = 0;
    if (s->ended || !count) return;
    if (count > WORDPIECE_WORD_CHARS) {
        s->ended = !s->visit(s->context, NULL, 0, -1);
        return;
    }
    for (size_t i = 0; i < count; i++) length += utf8_write(bytes + length, word[i]);
    s->ended = !s->visit(s->context, bytes, length, -1);
}

// A special token that only became one when control characters fell out of it: the reference does
// not split it any more, but looks it up as a word.
static bool is_special(const splitter *s) {
    const uint32_t *word = s->work->word;
    if (!s->count || word[0] != '[') return false;
    for (int i = 0; i < s->rules->specials; i++) {
        size_t j = 0;
        if (s->rules->length[i] != s->count) continue;
        while (j < s->count && word[j] == (unsigned char)s->rules->special[i][j]) j++;
        if (j == s->count) return true;
    }
    return false;
}

static status end_word(splitter *s) {
    status rc = STATUS_OK;
    bool whole = is_special(s);
    if (!s->count) return STATUS_OK;
    if (!whole && !s->ascii && !s->rules->cased) rc = strip_accents(s);
    size_t start = 0;
    const uint32_t *word = s->work->word;
    for (size_t i = 0; i < s->count && !rc && !whole && !s->ended; i++) {
        if (!is_punctuation(word[i])) continue;
        give(s, word + start, i - start);
        give(s, word + i, 1);
        start = i + 1;
    }
    if (!rc) give(s, word + start, s->count - start);
    s->count = 0;
    s->ascii = true;
    return rc;
}

static status take_char(splitter *s, uint32_t c) {
    wordpiece_work *k = s->work;
    if (!s->rules->cased) c = lower_case(c);
    char_kind kind = kind_of(c);
    status rc = STATUS_OK;
    if (kind == CHAR_DROPPED) return STATUS_OK;
    if (kind != CHAR_LETTER) rc = end_word(s);
    if (rc || kind == CHAR_BLANK) return rc;
    if (s->count == k->word_room)
        rc = mem_grow((void **)&k->word, &k->word_room, s->count + 64, sizeof *k->word, "a word");
    if (rc) return rc;
    k->word[s->count++] = c;
    s->ascii &= c < 0x80;
    return kind == CHAR_ALONE ? end_word(s) : STATUS_OK;
}

// The index of the special token that begins at TEXT, -1: none.
static int special_at(const wordpiece_rules *r, const char *text, size_t left) {
    for (int i = 0; i < r->specials; i++)
        if (r->length[i] <= left && !memcmp(text, r->special[i], r->length[i])) return i;
    return -1;
}

status wordpiece_split(wordpiece_work *work, const wordpiece_rules *rules, const char *text,
                       size_t length, wordpiece_visit *visit, void *context) {
    splitter s = {.work = work, .rules = rules, .visit = visit, .context = context, .ascii = true};
    status rc = STATUS_OK;
    for (size_t at = 0; at < length && !rc && !s.ended;) {
        uint32_t c;
        bool good;
        int special = text[at] == '[' ? special_at(rules, text + at, length - at) : -1;
        if (special < 0) {
            at += utf8_read(&c, &good, text + at, length - at);
            rc = take_char(&s, c);
            continue;
        }
        rc = end_word(&s);
        if (!rc && !s.ended) s.ended = !visit(context, text + at, rules->length[special], special);
        at += rules->length[special];
    }
    return rc || s.ended ? rc : end_word(&s);
}

void wordpiece_work_free(wordpiece_work *work) {
    if (!work) return;
    mem_free(work->word);
    mem_free(work->sorted);
    *work = (wordpiece_work){0};
}

// --- rules ---------------------------------------------------------------------------------------
// Brackets at both ends and nowhere else, and no small letters: such tokens never overlap, and
// lower-casing the text around them makes no new ones.
static bool good_extra(const char *token) {
    size_t length = strlen(token),
           inside = strspn(token + (*token == '['), "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
    return token[0] == '[' && inside > 0 && length == inside + 2 && token[length - 1] == ']' &&
           length <= 64;
}

status wordpiece_rules_init(wordpiece_rules *rules, bool cased, const char *const *extra,
                            int extras) {
    *rules = (wordpiece_rules){.cased = cased};
    for (int i = 0; i < WORDPIECE_SPECIALS; i++)
        rules->special[rules->specials++] = wordpiece_special_names[i];
    if (extras > WORDPIECE_EXTRAS)
        return status_fail(STATUS_USAGE, "%d extra tokens; at most %d", extras, WORDPIECE_EXTRAS);
    for (int i = 0; i < extras; i++) {
        bool twice = false;
        if (!good_extra(extra[i]))
            return status_fail(STATUS_USAGE,
                               "extra token '%s'; it must look like [DEC]: capital letters, digits "
                               "and _ between brackets, 64 bytes at most",
                               extra[i]);
        for (int j = 0; j < rules->specials; j++) twice |= !strcmp(rules->special[j], extra[i]);
        if (!twice) rules->special[rules->specials++] = extra[i];
    }
    for (int i = 0; i < rules->specials; i++) rules->length[i] = strlen(rules->special[i]);
    return STATUS_OK;
}
