// Where sentences end: Punkt (Kiss and Strunk, "Unsupervised multilingual sentence boundary
// detection", Computational Linguistics 32, 2006), which decides at each '.', '?' and '!' as
// sent_tokenize of NLTK 3.8.1 does with the same table. Called by eval/text_tokens.c.
#pragma once
#include "data/characters.h"

typedef struct punkt punkt;

// FOLDER holds the table of a language as NLTK publishes it (punkt_tab/english): abbrev_types.txt,
// sent_starters.txt, collocations.tab, ortho_context.tab. NULL: the built-in table, a short list of
// abbreviations, for which every word may begin a sentence with a capital and does so with no
// other. Errors: IO; FORMAT with file and line; MEMORY.
status punkt_open(punkt **out, const char *folder);
void punkt_close(punkt *p);             // accepts NULL
const char *punkt_name(const punkt *p); // FOLDER, or "built-in": tables of results name it

// The sentences of a text: ranges of its characters, without the white space between them.
typedef struct sentence {
    size_t start, end;
} sentence;

typedef struct sentence_list {
    sentence *list; // (count)
    size_t count, capacity;
} sentence_list;

// Replaces OUT's sentences by those of C (COUNT). Errors: MEMORY.
status punkt_split(sentence_list *out, const punkt *p, const uint32_t *c, size_t count);
void sentence_list_free(sentence_list *s);
