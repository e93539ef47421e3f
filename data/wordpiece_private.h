// What the parts of the tokenizer share: wordpiece.c (words of a text), wordpiece_vocab.c
// (vocabulary, ids), wordpiece_decode.c (text again), wordpiece_train.c.
#pragma once
#include "core/utf8.h"
#include "data/wordpiece.h"

enum { WORDPIECE_WORD_BYTES = 4 * WORDPIECE_WORD_CHARS };

// Scratch of a thread; grows with the longest word.
typedef struct wordpiece_work {
    uint32_t *word, *sorted; // characters
    size_t word_room, sorted_room;
} wordpiece_work;

// How texts are taken apart.
typedef struct wordpiece_rules {
    bool cased;
    const char *special[WORDPIECE_SPECIALS + WORDPIECE_EXTRAS]; // kept whole wherever they stand
    size_t length[WORDPIECE_SPECIALS + WORDPIECE_EXTRAS];
    int specials;
} wordpiece_rules;

// The five special tokens. EXTRA ones of a wrong form are USAGE.
status wordpiece_rules_init(wordpiece_rules *rules, bool cased, const char *const *extra,
                            int extras);

// A word between blanks and punctuation, or a sign of punctuation. BYTES NULL: more than
// WORDPIECE_WORD_CHARS characters. SPECIAL: its index in the rules, -1 for words. False ends the
// text.
typedef bool wordpiece_visit(void *context, const char *bytes, size_t length, int special);

// Calls VISIT for each word of TEXT in order. Errors: MEMORY.
status wordpiece_split(wordpiece_work *work, const wordpiece_rules *rules, const char *text,
                       size_t length, wordpiece_visit *visit, void *context);
void wordpiece_work_free(wordpiece_work *work);

// Whether ID is one of the special tokens; whether it stands behind the file's tokens.
bool wordpiece_is_special(const wordpiece *w, int32_t id);
bool wordpiece_is_added(const wordpiece *w, int32_t id);
