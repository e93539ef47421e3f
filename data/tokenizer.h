// Tokens of language models: text to ids and back. Two families: SentencePiece models as
// transformers' LlamaTokenizer 4.28.1 uses them (the one in Python; REFERENCE 5.7, 7.3), and
// byte-level BPE as Hugging Face's tokenizers does it (GPT-2, RoBERTa, LLaMA-3). Special tokens
// are cut out of a text before the rest is encoded, piece by piece.
//
// No begin or end token is added here, nothing is cut to a length: that is the caller's business.
// A byte that is not UTF-8 counts as U+FFFD. A tokenizer is read-only after opening and adding:
// any number of threads may encode and decode.
#pragma once
#include "core/buffer.h"
#include "core/version.h"
#include <stdbool.h>

typedef struct tokenizer tokenizer;

// PATH: a folder that holds tokenizer.model, tokenizer.json, or vocab.json and merges.txt (the
// first of these that is there), or one of those files, told by what it holds. In a folder,
// tokenizer_config.json names the begin, end, pad and unknown tokens of byte-level BPE, and
// added_tokens.json adds tokens to tokenizer.model, as it does in transformers. Errors: IO; FORMAT,
// with the file and what it holds that is not understood; MEMORY.
status tokenizer_open(tokenizer **out, const char *path);
void tokenizer_close(tokenizer *t); // accepts NULL

int32_t tokenizer_size(const tokenizer *t); // ids, added ones included
// The id of a special token, -1: there is none of that text.
int32_t tokenizer_special(const tokenizer *t, const char *text);

// Makes TEXT a special token: with the next id, or its own where the vocabulary has it. STRIPS: it
// swallows the white space on both sides of it, as those do that transformers was given as plain
// strings. What is special already stays as it is. Errors: USAGE (empty, blank at an end, not
// UTF-8), MEMORY.
status tokenizer_add(tokenizer *t, const char *text, bool strips, int32_t *id);

typedef struct tokenizer_ids {
    int32_t begin, end, pad, unknown; // -1: none
} tokenizer_ids;
// SentencePiece: the model's own (LLaMA: 1 2 0 0); without a pad token, padding is the unknown one.
tokenizer_ids tokenizer_named(const tokenizer *t);

// Appends the ids (int32_t) of TEXT to OUT. Errors: MEMORY.
status tokenizer_encode(const tokenizer *t, const char *text, size_t length, buffer *out);

// Appends the text of IDS (count). SKIP: special ones are left out, and what remains is one run
// (REFERENCE 7.3). Otherwise they are written, and SentencePiece's runs are joined by blanks as
// transformers 4.28.1 joins them. English punctuation is not cleaned up. Errors: FORMAT (an id
// outside of the vocabulary), MEMORY.
status tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t count, bool skip,
                        buffer *out);

// Of all that decides about ids: vocabulary, scores or merges, rules, added tokens.
uint32_t tokenizer_checksum(const tokenizer *t);

// --- training ------------------------------------------------------------------------------------
// Texts for a SentencePiece model. The same texts in the same order give the same bytes.
typedef struct tokenizer_texts {
    buffer bytes; // of all texts, one behind the other
    size_t *end;  // (count): where each ends
    size_t count, room;
} tokenizer_texts;
status tokenizer_texts_add(tokenizer_texts *t, const char *text, size_t length);
void tokenizer_texts_free(tokenizer_texts *t);

// Appends a model with LLaMA's settings to OUT: BPE with byte fallback, no normalisation, white
// space kept, digits apart; <unk> 0, <s> 1, </s> 2. SIZE: tokens wanted; fewer come out where no
// pairs are left (*COUNT). Bytes that are not UTF-8 and U+2585 count as U+FFFD, a NUL as a blank.
// Errors: FORMAT (no text, SIZE too small for special tokens, bytes and characters), MEMORY.
status tokenizer_train_sentencepiece(buffer *out, int32_t *count, const tokenizer_texts *texts,
                                     int32_t size);

// Of libsentencepiece.
library_version tokenizer_sentencepiece_version(void);
