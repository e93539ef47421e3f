// Numbers for words: equal words have equal numbers, so that metrics of text compare numbers.
// Called by the metrics of text and by the tables that they are given.
#pragma once
#include "core/memory.h"

typedef struct words words;

status words_open(words **out);
void words_close(words *w); // accepts NULL

// The number of TEXT (LENGTH bytes): from 0 on, in the order of first appearance. Errors: MEMORY.
status words_number(int32_t *id, words *w, const char *text, size_t length);
int32_t words_find(const words *w, const char *text, size_t length); // -1: has none
int32_t words_count(const words *w);
const char *words_text(const words *w, int32_t id); // valid until the next new word

// The words of texts behind each other: those of text i are id[first[i]] up to id[first[i + 1]].
typedef struct word_lists {
    int64_t count;
    int64_t *first; // (count + 1)
    int32_t *id;    // (first[count])
} word_lists;

// The words of TEXT (COUNT), which blanks part. Errors: MEMORY. On failure OUT is closed.
status word_lists_open(word_lists *out, words *w, const char *const *text, int64_t count);
void word_lists_close(word_lists *lists);
