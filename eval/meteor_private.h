// What the parts of METEOR share: meteor_words.c (what a text's words are), meteor_align.c (which
// of them match), meteor.c (counts and scores).
#pragma once
#include "data/characters.h"
#include "eval/meteor.h"
#include "eval/words.h"

// Appends TEXT with its words parted anew, a blank between two, as METEOR's -norm does with English
// text.
status meteor_normalise(buffer *out, const char *text);
bool meteor_is_function_word(const char *word, size_t length);

// A text as numbers of words.
typedef struct meteor_text {
    const int32_t *word; // (count)
    int64_t count;
} meteor_text;

// LENGTH words of the reference from START on match TEXT_LENGTH words of the text from TEXT_START
// on.
typedef struct meteor_match {
    int32_t start, length, text_start, text_length;
    meteor_stage stage;
} meteor_match;

// What is known of words by their numbers.
typedef struct meteor_facts {
    const int32_t *stem;  // the number of the word's stem
    const bool *function; // whether it is a function word
} meteor_facts;

// The work of one thread: grows with the longest text.
typedef struct meteor_aligner meteor_aligner;

status meteor_aligner_open(meteor_aligner **out);
void meteor_aligner_close(meteor_aligner *a); // accepts NULL
// OUT: the counts of TEXT and REFERENCE.
status meteor_align(meteor_counts *out, meteor_aligner *a, const meteor_facts *facts,
                    meteor_text text, meteor_text reference);
