// The words of a report as the reference's scores count them (REFERENCE 7.4): line feeds, <s> and
// </s> deleted, word_tokenize of NLTK 3.8.1 (sentences by Punkt, words by its Treebank rules),
// joined by single blanks, lower-case. Called by the metrics of text.
#pragma once
#include "eval/sentences.h"

// Appends the tokens of TEXT to OUT, a blank between two. Errors: MEMORY.
status text_tokens(buffer *out, const punkt *p, const char *text);

// The tokens of many texts, in memory of their own.
typedef struct token_texts {
    int64_t count;
    char **text; // (count)
} token_texts;

// TEXT (COUNT); NULL is an empty one. Uses all threads; any number gives the same. Errors: MEMORY.
// On failure OUT is closed.
status token_texts_open(token_texts *out, const punkt *p, const char *const *text, int64_t count);
void token_texts_close(token_texts *t);
