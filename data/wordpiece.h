// Tokens of BERT vocabularies (vocab.txt): text to ids and back, as transformers'
// BertTokenizer 4.28.1 does it (tokenization_bert.py, the one in Python), special tokens in the
// text included. The Q-Former, CheXbert and the metrics ask here (REFERENCE 4.7, 7.5); what text
// they give in is their business.
//
// Characters are judged by utf8proc's Unicode tables, the reference by those of its Python: a
// character that only one of the two knows may come out differently. A byte that is not UTF-8
// counts as U+FFFD, which is dropped.
#pragma once
#include "core/buffer.h"
#include "core/version.h"
#include <stdbool.h>

typedef enum wordpiece_special {
    WORDPIECE_UNK,
    WORDPIECE_SEP,
    WORDPIECE_PAD,
    WORDPIECE_CLS,
    WORDPIECE_MASK,
    WORDPIECE_SPECIALS
} wordpiece_special;
extern const char *const wordpiece_special_names[WORDPIECE_SPECIALS]; // "[UNK]", ...

enum { WORDPIECE_EXTRAS = 16, WORDPIECE_WORD_CHARS = 100 };

typedef struct wordpiece_options {
    bool cased; // neither lower-case nor without accents (do_lower_case false)
    const char *const
        *extra; // special tokens behind the file's: ids go on where they end. Borrowed
    int extras; // at most WORDPIECE_EXTRAS; each '[', capitals, digits or '_', ']'
} wordpiece_options;

typedef struct wordpiece wordpiece;

// Reads a vocabulary: a token a line, ids are line numbers from 0. An extra token that it already
// has keeps its id. OPTIONS NULL: lower-case, no extra. Errors: IO; FORMAT with file and line (a
// token twice, empty, of more than 1024 bytes, with a NUL or not UTF-8; one of the five special
// tokens missing); USAGE, where an extra token is of another form; MEMORY.
status wordpiece_open(wordpiece **out, const char *path, const wordpiece_options *options);
// The same from memory; NAME stands in error texts.
status wordpiece_open_memory(wordpiece **out, const char *name, const char *text, size_t size,
                             const wordpiece_options *options);
void wordpiece_close(wordpiece *w); // accepts NULL

int32_t wordpiece_count(const wordpiece *w);                 // of tokens, extra ones included
int32_t wordpiece_id(const wordpiece *w, const char *token); // -1: none
const char *wordpiece_token(const wordpiece *w, int32_t id); // "[UNK]" outside of the vocabulary
int32_t wordpiece_special_id(const wordpiece *w, wordpiece_special special);

// The ids of a text. Zeroed before its first use; reused without new memory; one per thread.
typedef struct wordpiece_ids {
    int32_t *id; // (count)
    size_t count, capacity;
    bool truncated; // tokens were left out
    struct wordpiece_work *work;
} wordpiece_ids;

// [CLS], the tokens of TEXT, [SEP]: at most MOST ids (2 or more; 0: any number), the end of the
// text left out first. Errors: MEMORY.
status wordpiece_encode(wordpiece_ids *out, const wordpiece *w, const char *text, size_t length,
                        size_t most);
// The tokens alone.
status wordpiece_tokens(wordpiece_ids *out, const wordpiece *w, const char *text, size_t length);
void wordpiece_ids_free(wordpiece_ids *ids);

// Appends the text of ids. PLAIN leaves out special tokens ([UNK] is one). CLEAN removes the blanks
// before punctuation and in English short forms (clean_up_tokenization_spaces).
status wordpiece_decode(buffer *out, const wordpiece *w, const int32_t *id, size_t count,
                        bool plain, bool clean);

// Of utf8proc.
library_version wordpiece_utf8proc_version(void);

// --- training (data/wordpiece_train.c) -----------------------------------------------------------
// A vocabulary from text: characters first, then again and again the two neighbours that stand
// together most often become one token, as in the trainer of Hugging Face's tokenizers for BERT.
// (WordPiece's own criterion divides by the counts of both neighbours and was never published as
// code; what reads the result needs the list alone.) Counts are whole numbers and ties have an
// order, so the same texts give the same bytes in any order and on any machine.
typedef struct wordpiece_train_options {
    bool cased;
    int32_t size;          // tokens wanted, special ones included
    int64_t min_frequency; // of a pair that becomes a token
    int32_t alphabet;      // at most so many characters; words with others are left out
    const char *const *extra;
    int extras;
} wordpiece_train_options;

typedef struct wordpiece_trainer wordpiece_trainer;

// OPTIONS are copied, but for the extra tokens, which are borrowed.
status wordpiece_trainer_open(wordpiece_trainer **out, const wordpiece_train_options *options);
void wordpiece_trainer_close(wordpiece_trainer *t); // accepts NULL
// Counts the words of TEXT. Words that the encoder would turn into [UNK] for their length are left
// out.
status wordpiece_trainer_add(wordpiece_trainer *t, const char *text, size_t length);
// Appends the vocabulary, a token a line. FORMAT: no words, or SIZE below special tokens and
// characters.
status wordpiece_trainer_finish(wordpiece_trainer *t, buffer *out, int32_t *count);
int64_t wordpiece_trainer_words(const wordpiece_trainer *t); // counted so far
