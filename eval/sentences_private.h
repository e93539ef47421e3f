// What the parts of the sentence splitter share: sentences_table.c (what is known of words),
// sentences.c (where sentences end).
#pragma once
#include "eval/sentences.h"
#include "eval/words.h"

// What is known of a word, as bits. The places where it was seen with a capital and without are
// numbered as in NLTK's tables.
enum {
    SEEN_UPPER_FIRST = 1 << 1,
    SEEN_UPPER_INSIDE = 1 << 2,
    SEEN_UPPER = 1 << 1 | 1 << 2 | 1 << 3,
    SEEN_LOWER_FIRST = 1 << 4,
    SEEN_LOWER_INSIDE = 1 << 5,
    SEEN_LOWER = 1 << 4 | 1 << 5 | 1 << 6,
    SEEN = SEEN_UPPER | SEEN_LOWER,
    IS_ABBREVIATION = 1 << 8,
    IS_STARTER = 1 << 9,
    IS_COLLOCATION = 1 << 10, // of "first TAB second"
};

struct punkt {
    words *words;
    uint32_t *facts; // (words_count)
    size_t capacity;
    uint32_t unknown; // of a word that has no place in the table
    char *name;
};

uint32_t punkt_facts(const punkt *p, const char *word, size_t length);
