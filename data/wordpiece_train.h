// What the two halves of the trainer share: wordpiece_train.c counts words and writes the
// vocabulary, wordpiece_merge.c makes its tokens.
#pragma once
#include "data/wordpiece_private.h"

typedef struct train_word {
    size_t begin, length; // in the texts; length in bytes
    int64_t count;
    int32_t *piece; // (pieces)
    int32_t pieces;
} train_word;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    int32_t *word; // (words): where it stood
    size_t words, room;
    bool changed; // stands among the trainer's changed ones
} pair;

// An open hash table of numbers of things that its user compares.
typedef struct number_table {
    uint32_t *slot; // (mask + 1): 0: free, else number + 1
    size_t mask, used;
} number_table;

typedef struct heap_entry {
    int64_t count;
    uint32_t pair;
} heap_entry;

struct wordpiece_trainer {
    wordpiece_train_options options;
    wordpiece_rules rules;
    wordpiece_work work;
    status failed;
    int64_t total; // words counted
    buffer texts;  // of words, then of tokens as well, each with a NUL
    train_word *word;
    size_t words, word_room;
    number_table word_table, token_table, pair_table;
    size_t *token; // (tokens): their texts
    size_t tokens, token_room;
    pair *pair;
    size_t pairs, pair_room;
    uint32_t *changed; // pairs that the present merge gave words to
    size_t changes, changed_room;
    heap_entry *heap;
    size_t heaped, heap_room;
};

typedef struct table_key {
    uint64_t hash;
    const char *bytes; // NULL: a pair
    size_t length;
    int32_t left, right;
} table_key;

typedef bool same_key(const wordpiece_trainer *t, uint32_t number, const table_key *key);
typedef uint64_t hash_of(const wordpiece_trainer *t, uint32_t number);

// The key's slot, or the free one where it would stand.
uint32_t *trainer_slot(const wordpiece_trainer *t, const number_table *table, const table_key *key,
                       same_key *same);
// Room for one more; the table is moved to twice the size when it is half full.
status trainer_reserve(const wordpiece_trainer *t, number_table *table, hash_of *hash);

// *ID: the token of that text, which is added where it is new. TEXT is none of t->texts.
status trainer_token(wordpiece_trainer *t, int32_t *id, const char *text);
// The token of a character, -1: none. INSIDE: with "##".
int32_t trainer_letter(const wordpiece_trainer *t, const char *bytes, size_t length, bool inside);
static inline const char *trainer_text(const wordpiece_trainer *t, int32_t token) {
    return t->texts.data + t->token[token];
}

// Merges until there are t->options.size tokens or no pair is frequent enough. The characters are
// tokens already.
status trainer_merge_all(wordpiece_trainer *t);
