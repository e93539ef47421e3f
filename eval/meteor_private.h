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

// The sets of synonyms of each word, in order: those of word w are set[first[w]] up to set[first[w
// + 1]].
typedef struct meteor_synonyms {
    int32_t *first; // (words + 1)
    int32_t *set;
} meteor_synonyms;

// The two texts of NAME (for errors) as they stand in the jar: what they know of the words of W.
// Errors: FORMAT, MEMORY. On failure OUT is closed.
typedef struct meteor_synonym_texts {
    const char *name, *synsets, *exceptions;
    size_t synsets_size, exceptions_size;
} meteor_synonym_texts;
status meteor_synonyms_read(meteor_synonyms *out, const meteor_synonym_texts *texts,
                            const words *w);
// What JAR knows of the words of W. Errors: IO, FORMAT, MEMORY. On failure OUT is closed.
status meteor_synonyms_open(meteor_synonyms *out, const char *jar, const words *w);
void meteor_synonyms_close(meteor_synonyms *s);
// Whether words X and Y stand in a set together.
bool meteor_synonyms_share(const meteor_synonyms *s, int32_t x, int32_t y);

// A phrase and another that means the same.
typedef struct meteor_paraphrase {
    size_t phrase, other; // in the pool
    int32_t length, other_length;
    int64_t order; // in the file
} meteor_paraphrase;

typedef struct meteor_paraphrases {
    meteor_paraphrase *list; // by phrase, longer ones later, then by order
    size_t count, room;
    int32_t *pool; // words of phrases
    size_t pooled, pool_room;
    int64_t *first;  // (words + 1): of those whose phrase begins with each word
    int32_t longest; // phrase
} meteor_paraphrases;

// Those of PATH all of whose words are words of W. Errors: IO, FORMAT, MEMORY. On failure OUT is
// closed.
status meteor_paraphrases_open(meteor_paraphrases *out, const char *path, const words *w);
void meteor_paraphrases_close(meteor_paraphrases *p);
// Those whose phrase is WORD (LENGTH, at least 1): *LIST and how many.
int64_t meteor_paraphrases_find(const meteor_paraphrase **list, const meteor_paraphrases *p,
                                const int32_t *word, int32_t length);

// What is known of words by their numbers.
typedef struct meteor_facts {
    int32_t words;
    const int32_t *stem;                   // (words): the number of the word's stem
    const bool *function;                  // (words): whether it is a function word
    const meteor_synonyms *synonyms;       // NULL: no such stage
    const meteor_paraphrases *paraphrases; // NULL: no such stage
} meteor_facts;

// The work of one thread: grows with the longest text.
typedef struct meteor_aligner meteor_aligner;

status meteor_aligner_open(meteor_aligner **out);
void meteor_aligner_close(meteor_aligner *a); // accepts NULL
// OUT: the counts of TEXT and REFERENCE.
status meteor_align(meteor_counts *out, meteor_aligner *a, const meteor_facts *facts,
                    meteor_text text, meteor_text reference);
