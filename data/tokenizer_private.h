// What the parts of the tokenizer share: tokenizer.c (special tokens, text again),
// tokenizer_open.c (files), sentencepiece_model.c (SentencePiece), bpe*.c (byte-level BPE).
#pragma once
#include "core/files/json.h"
#include "data/tokenizer.h"

enum {
    TOKEN_TEXT_MAX = 1024,
    TOKENS_MAX = 1 << 22,
    ADDED_MAX = 1 << 14,
    TOKENIZER_FILE_MAX = 256 << 20
};

// --- SentencePiece -------------------------------------------------------------------------------
typedef struct piece_model piece_model;
// A serialized ModelProto; NAME stands in error texts.
status piece_model_open(piece_model **out, const char *name, const void *bytes, size_t size);
void piece_model_close(piece_model *m); // accepts NULL
int32_t piece_model_count(const piece_model *m);
int32_t piece_model_find(const piece_model *m, const char *text, size_t length); // -1: none
const char *piece_model_text(const piece_model *m, int32_t id);                  // with a NUL
tokenizer_ids piece_model_named(const piece_model *m);                           // pad may be -1
status piece_model_encode(const piece_model *m, const char *text, size_t length, buffer *out);
// The text of one run of pieces.
void piece_model_decode(const piece_model *m, const int32_t *ids, int64_t count, buffer *out);
uint32_t piece_model_checksum(const piece_model *m);

// --- byte-level BPE ------------------------------------------------------------------------------
// How a text is taken apart before merging: the pattern of GPT-2 and RoBERTa, or that of LLaMA-3.
typedef enum bpe_pattern { BPE_GPT2, BPE_LLAMA3, BPE_PATTERNS } bpe_pattern;
extern const char *const bpe_patterns[BPE_PATTERNS];

// The bytes of TEXT (valid UTF-8, LENGTH at least 1) that belong to its first word.
size_t bpe_word(bpe_pattern pattern, const char *text, size_t length);
bool char_is_word(uint32_t c);  // what \w matches: letters, marks, digits, connectors, joiners

typedef struct bpe bpe;
typedef struct bpe_options {
    bpe_pattern pattern;
    bool prefix;        // a blank is put before each text that begins with none
    bool ignore_merges; // a word that is a token is not taken apart
} bpe_options;
// Filled token by token, then merge by merge; bpe_ready checks that all ids and bytes are there.
// Errors: FORMAT with a line without place, MEMORY.
status bpe_new(bpe **out, const bpe_options *options, int32_t count);
status bpe_token(bpe *b, int32_t id, const char *text);
status bpe_merge(bpe *b, const char *left, size_t left_length, const char *right,
                 size_t right_length);
status bpe_ready(bpe *b);
void bpe_close(bpe *b); // accepts NULL
int32_t bpe_count(const bpe *b);
int32_t bpe_find(const bpe *b, const char *text, size_t length); // as it stands in the file; -1
const char *bpe_text(const bpe *b, int32_t id);
uint32_t bpe_checksum(const bpe *b);

typedef struct bpe_work bpe_work; // scratch of one call
status bpe_work_new(bpe_work **out);
void bpe_work_free(bpe_work *w); // accepts NULL
status bpe_encode(const bpe *b, bpe_work *work, const char *text, size_t length, buffer *out);
// Appends the bytes that TEXT stands for: byte by byte where it is made of the 256 characters of
// byte-level vocabularies, else as it is.
void bpe_bytes(const char *text, buffer *out);

// A character of the 256 to its byte, -1: none of them. And back: UTF-8, 1 or 2 bytes.
int bpe_byte_of(uint32_t c);
size_t bpe_char_of(char out[2], unsigned char byte);

// --- the tokenizer -------------------------------------------------------------------------------
typedef struct added_token {
    char *text;
    size_t length;
    int32_t id;
    bool left, right; // swallows white space there
    bool single;      // only where no word goes on at either end
    bool special;
    bool late; // looked for in what the others leave ("normalized")
} added_token;

// Indices of added tokens by their bytes.
typedef struct added_order {
    int32_t *index; // (count)
    int32_t count;
} added_order;

struct tokenizer {
    piece_model *pieces; // one of the two is there
    bpe *merges;
    added_token *added; // (addeds)
    int32_t addeds, size;
    size_t added_room;
    added_order early, late; // by text
    added_order by_id;
    tokenizer_ids named;
};

// Adds TOKEN (its text is copied; id -1: the vocabulary's own, else the next). FORMAT where the id
// is neither. Ordering is left to tokenizer_order.
status tokenizer_put(tokenizer *t, const added_token *token);
status tokenizer_order(tokenizer *t);
int32_t tokenizer_find(const tokenizer *t, const char *text, size_t length); // any token; -1: none

// The root of tokenizer.json; that of vocab.json and the path of merges.txt. The tokens' order is
// left to tokenizer_order.
status tokenizer_read_json(tokenizer *t, json_value root);
status tokenizer_read_merges(tokenizer *t, json_value vocabulary, const char *merges);
