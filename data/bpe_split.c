// How byte-level BPE takes a text apart before it merges, and what it knows of characters. The
// patterns are matched by hand, alternative by alternative in their order, as Oniguruma matches
// them for tokenizers. With wordpiece.c and characters.c the only file that knows utf8proc.
#include "core/utf8.h"
#include "data/characters.h"
#include "data/tokenizer_private.h"

#include <string.h>

#include <utf8proc.h>

const char *const bpe_patterns[BPE_PATTERNS] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};

typedef enum char_class { CLASS_OTHER, CLASS_LETTER, CLASS_NUMBER, CLASS_SPACE } char_class;

static char_class class_of(uint32_t c) {
    if (c < 0x80) {
        if ((c | 32) >= 'a' && (c | 32) <= 'z') return CLASS_LETTER;
        if (c >= '0' && c <= '9') return CLASS_NUMBER;
        return character_is_white(c) ? CLASS_SPACE : CLASS_OTHER;
    }
    if (character_is_white(c)) return CLASS_SPACE;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) return CLASS_LETTER;
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return CLASS_NUMBER;
    return CLASS_OTHER;
}

// Alphabetic, marks, decimal digits, connectors and the two joiners, as Unicode's annex 18 has it.
// What is alphabetic without being a letter, a mark or a letter-like number are circled letters.
bool char_is_word(uint32_t c) {
    if (c < 0x80) return class_of(c) == CLASS_LETTER || class_of(c) == CLASS_NUMBER || c == '_';
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
               (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
               (c >= 0x1f170 && c <= 0x1f189);
    }
}

// --- matching ------------------------------------------------------------------------------------
typedef struct cursor {
    const char *text;
    size_t length;
} cursor;

// The character at AT and its bytes; at the end none, of no bytes.
static uint32_t peek(const cursor *s, size_t at, size_t *taken) {
    uint32_t c = 0;
    bool good;
    *taken = 0;
    if (at < s->length) *taken = utf8_read(&c, &good, s->text + at, s->length - at);
    return c;
}

// The end of the run of CLASS that begins at AT, after at most MOST characters.
static size_t run_end(const cursor *s, size_t at, char_class class, size_t most) {
    for (size_t taken; most > 0 && at < s->length; most--, at += taken)
        if (class_of(peek(s, at, &taken)) != class) break;
    return at;
}

// The length of 's 't 're 've 'm 'll 'd at the beginning, 0: none of them. Without case, the long s
// is one as well: no other character is one of these letters in another case.
static size_t contraction(const cursor *s, bool any_case) {
    char letter[2] = {0};
    if (s->length < 2 || s->text[0] != '\'') return 0;
    if (any_case && s->length > 2 && !memcmp(s->text + 1, "\xc5\xbf", 2)) return 3;
    for (size_t i = 0; i < 2 && i + 1 < s->length; i++) {
        letter[i] = s->text[i + 1];
        if (any_case && letter[i] >= 'A' && letter[i] <= 'Z') letter[i] = (char)(letter[i] + 32);
    }
    if (strchr("stmd", letter[0])) return letter[0] ? 2 : 0;
    bool two = (letter[0] == 'r' && letter[1] == 'e') || (letter[0] == 'v' && letter[1] == 'e') ||
               (letter[0] == 'l' && letter[1] == 'l');
    return two ? 3 : 0;
}

// \s+(?!\S)|\s+ : all white space, but the last of several characters where something follows.
static size_t blank_run(const cursor *s) {
    size_t end = run_end(s, 0, CLASS_SPACE, SIZE_MAX), last = end;
    if (end == s->length) return end;
    while (last && ((unsigned char)s->text[--last] & 0xc0) == 0x80) {
    }
    return last ? last : end;
}

static size_t word_gpt2(const cursor *s) {
    size_t taken, end = contraction(s, false);
    if (end) return end;
    size_t at = s->text[0] == ' ' ? 1 : 0;
    char_class class = class_of(peek(s, at, &taken));
    if (taken && class != CLASS_SPACE) return run_end(s, at, class, SIZE_MAX);
    return blank_run(s);
}

// \s*[\r\n]+ : through the last line's end of the white space, 0: there is none.
static size_t lines_end(const cursor *s) {
    size_t end = run_end(s, 0, CLASS_SPACE, SIZE_MAX);
    while (end && s->text[end - 1] != '\n' && s->text[end - 1] != '\r') end--;
    return end;
}

static size_t word_llama3(const cursor *s) {
    size_t taken, next, end = contraction(s, true);
    if (end) return end;
    uint32_t c = peek(s, 0, &taken);
    char_class class = class_of(c);
    if (class == CLASS_LETTER) return run_end(s, 0, CLASS_LETTER, SIZE_MAX);
    if (class == CLASS_NUMBER) return run_end(s, 0, CLASS_NUMBER, 3);
    // One character of any other kind, a line's end excepted, goes with the letters behind it.
    char_class behind = class_of(peek(s, taken, &next));
    if (next && c != '\r' && c != '\n' && behind == CLASS_LETTER)
        return run_end(s, taken, CLASS_LETTER, SIZE_MAX);
    size_t at = c == ' ' ? 1 : 0;
    if (class == CLASS_OTHER || (at && next && behind == CLASS_OTHER)) {
        end = run_end(s, at, CLASS_OTHER, SIZE_MAX);
        while (end < s->length && (s->text[end] == '\n' || s->text[end] == '\r')) end++;
        return end;
    }
    end = lines_end(s);
    return end ? end : blank_run(s);
}

size_t bpe_word(bpe_pattern pattern, const char *text, size_t length) {
    const cursor s = {text, length};
    return pattern == BPE_LLAMA3 ? word_llama3(&s) : word_gpt2(&s);
}
