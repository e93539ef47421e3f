// Training of a WordPiece vocabulary: counting words, the alphabet, and the vocabulary's text.
// data/wordpiece.h says which criterion and why; data/wordpiece_merge.c applies it.
#include "data/wordpiece_train.h"
#include "core/hash.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

// --- hash tables ---------------------------------------------------------------------------------
uint32_t *trainer_slot(const wordpiece_trainer *t, const number_table *table, const table_key *key,
                       same_key *same) {
    for (size_t i = (size_t)(key->hash >> 20) & table->mask;; i = (i + 1) & table->mask)
        if (!table->slot[i] || same(t, table->slot[i] - 1, key)) return &table->slot[i];
}

status trainer_reserve(const wordpiece_trainer *t, number_table *table, hash_of *hash) {
    if (table->slot && 2 * (table->used + 1) <= table->mask) return STATUS_OK;
    size_t slots = table->slot ? 2 * (table->mask + 1) : 1024;
    uint32_t *moved = NULL;
    status rc = mem_new(&moved, slots, "words and tokens");
    if (rc) return rc;
    for (size_t i = 0; table->slot && i <= table->mask; i++) {
        if (!table->slot[i]) continue;
        size_t j = (size_t)(hash(t, table->slot[i] - 1) >> 20) & (slots - 1);
        while (moved[j]) j = (j + 1) & (slots - 1);
        moved[j] = table->slot[i];
    }
    mem_free(table->slot);
    table->slot = moved;
    table->mask = slots - 1;
    return STATUS_OK;
}

// --- counting ------------------------------------------------------------------------------------
static const char *word_text(const wordpiece_trainer *t, uint32_t i) {
    return t->texts.data + t->word[i].begin;
}
static bool same_word(const wordpiece_trainer *t, uint32_t i, const table_key *key) {
    return t->word[i].length == key->length && !memcmp(word_text(t, i), key->bytes, key->length);
}
static uint64_t word_hash(const wordpiece_trainer *t, uint32_t i) {
    return hash_bytes(hash_start, word_text(t, i), t->word[i].length);
}

static status count_word(wordpiece_trainer *t, const char *bytes, size_t length) {
    const table_key key = {.hash = hash_bytes(hash_start, bytes, length), .bytes = bytes, .length = length};
    status rc = trainer_reserve(t, &t->word_table, word_hash);
    if (rc) return rc;
    uint32_t *slot = trainer_slot(t, &t->word_table, &key, same_word);
    if (!*slot) {
        if (t->words == INT32_MAX)
            return status_fail(STATUS_FORMAT, "more than %d different words", INT_MAX);
        rc = mem_grow((void **)&t->word, &t->word_room, t->words + 1, sizeof *t->word, "words");
        if (rc) return rc;
        t->word[t->words] = (train_word){.begin = t->texts.length, .length = length};
        buffer_append(&t->texts, bytes, length);
        buffer_append(&t->texts, "", 1);
        if (t->texts.failed) return t->texts.failed;
        *slot = (uint32_t)++t->words;
        t->word_table.used++;
    }
    t->word[*slot - 1].count++;
    t->total++;
    return STATUS_OK;
}

static bool visit_word(void *context, const char *bytes, size_t length, int special) {
    wordpiece_trainer *t = context;
    if (bytes && special < 0) t->failed = count_word(t, bytes, length);
    return !t->failed;
}

status wordpiece_trainer_add(wordpiece_trainer *t, const char *text, size_t length) {
    status rc = wordpiece_split(&t->work, &t->rules, text, length, visit_word, t);
    return rc ? rc : t->failed;
}

int64_t wordpiece_trainer_words(const wordpiece_trainer *t) {
    return t->total;
}

// --- the alphabet --------------------------------------------------------------------------------
typedef struct letter {
    uint32_t c;
    int64_t count;
    bool first;  // stands at the beginning of a word
    bool inside; // and behind one
} letter;

static int by_count(const void *a, const void *b) {
    const letter *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return (x->c > y->c) - (x->c < y->c);
}

static int by_char(const void *a, const void *b) {
    const letter *x = a, *y = b;
    return (x->c > y->c) - (x->c < y->c);
}

// Letters by their characters, in pages that are made where a character needs one.
enum { PAGE = 256, PAGES = 0x110000 / PAGE };

static status count_letters(letter **page, size_t *count, const wordpiece_trainer *t,
                            const train_word *w) {
    for (size_t at = 0; at < w->length;) {
        uint32_t c;
        bool good, first = !at;
        status rc = STATUS_OK;
        at += utf8_read(&c, &good, t->texts.data + w->begin + at, w->length - at);
        if (!page[c / PAGE]) rc = mem_new(&page[c / PAGE], PAGE, "characters");
        if (rc) return rc;
        letter *l = &page[c / PAGE][c % PAGE];
        *count += !l->count;
        l->c = c;
        l->count += w->count;
        l->first |= first;
        l->inside |= !first;
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
            l->first = l->inside = true; // any new word may hold them anywhere
    }
    return STATUS_OK;
}

// OUT: the letters kept, in the order of their characters.
static status make_alphabet(letter **out, size_t *count, const wordpiece_trainer *t) {
    letter **page = NULL, *all = NULL;
    size_t used = 0, different = 0;
    status rc = mem_new(&page, PAGES, "characters");
    for (size_t i = 0; i < t->words && !rc; i++)
        rc = count_letters(page, &different, t, &t->word[i]);
    if (!rc) rc = mem_new(&all, different, "characters");
    for (size_t i = 0; i < PAGES && !rc; i++)
        for (size_t j = 0; page[i] && j < PAGE; j++)
            if (page[i][j].count) all[used++] = page[i][j];
    for (size_t i = 0; page && i < PAGES; i++) mem_free(page[i]);
    mem_free(page);
    if (!rc) {
        qsort(all, used, sizeof *all, by_count);
        if (used > (size_t)t->options.alphabet) used = (size_t)t->options.alphabet;
        qsort(all, used, sizeof *all, by_char);
    }
    *out = all;
    *count = used;
    return rc;
}

// --- tokens --------------------------------------------------------------------------------------
static bool same_token(const wordpiece_trainer *t, uint32_t i, const table_key *key) {
    return !strcmp(trainer_text(t, (int32_t)i), key->bytes);
}
static uint64_t token_hash(const wordpiece_trainer *t, uint32_t i) {
    return hash_bytes(hash_start, trainer_text(t, (int32_t)i), strlen(trainer_text(t, (int32_t)i)));
}

status trainer_token(wordpiece_trainer *t, int32_t *id, const char *text) {
    size_t length = strlen(text);
    const table_key key = {.hash = hash_bytes(hash_start, text, length), .bytes = text, .length = length};
    status rc = trainer_reserve(t, &t->token_table, token_hash);
    if (rc) return rc;
    uint32_t *slot = trainer_slot(t, &t->token_table, &key, same_token);
    if (!*slot) {
        rc =
            mem_grow((void **)&t->token, &t->token_room, t->tokens + 1, sizeof *t->token, "tokens");
        if (rc) return rc;
        t->token[t->tokens] = t->texts.length;
        buffer_append(&t->texts, text, length + 1);
        if (t->texts.failed) return t->texts.failed;
        *slot = (uint32_t)++t->tokens;
        t->token_table.used++;
    }
    *id = (int32_t)(*slot - 1);
    return STATUS_OK;
}

int32_t trainer_letter(const wordpiece_trainer *t, const char *bytes, size_t length, bool inside) {
    char text[8] = "##";
    size_t used = inside ? 2 : 0;
    memcpy(text + used, bytes, length);
    text[used + length] = 0;
    const table_key key = {.hash = hash_bytes(hash_start, text, used + length), .bytes = text};
    return (int32_t)*trainer_slot(t, &t->token_table, &key, same_token) - 1;
}

static status put_letters(wordpiece_trainer *t, const letter *all, size_t count) {
    status rc = STATUS_OK;
    int32_t id;
    for (int inside = 0; inside < 2; inside++) {
        for (size_t i = 0; i < count && !rc; i++) {
            char text[8] = "##";
            size_t used = inside ? 2 : 0;
            if (inside ? !all[i].inside : !all[i].first) continue;
            text[used + utf8_write(text + used, all[i].c)] = 0;
            rc = trainer_token(t, &id, text);
        }
    }
    return rc;
}

// Special tokens, then characters as beginnings of words, then as what follows.
static status first_tokens(wordpiece_trainer *t) {
    static const wordpiece_special order[] = {WORDPIECE_PAD, WORDPIECE_UNK, WORDPIECE_CLS,
                                              WORDPIECE_SEP, WORDPIECE_MASK};
    letter *all = NULL;
    size_t count = 0;
    int32_t id;
    status rc = STATUS_OK;
    for (int i = 0; i < WORDPIECE_SPECIALS && !rc; i++)
        rc = trainer_token(t, &id, wordpiece_special_names[order[i]]);
    for (int i = WORDPIECE_SPECIALS; i < t->rules.specials && !rc; i++)
        rc = trainer_token(t, &id, t->rules.special[i]);
    if (!rc) rc = make_alphabet(&all, &count, t);
    if (!rc) rc = put_letters(t, all, count);
    mem_free(all);
    return rc;
}

status wordpiece_trainer_finish(wordpiece_trainer *t, buffer *out, int32_t *count) {
    size_t size = (size_t)t->options.size;
    if (!t->words)
        return status_fail(STATUS_FORMAT,
                           "no words in the texts; there is nothing to make a vocabulary of");
    status rc = first_tokens(t);
    if (!rc && t->tokens > size)
        rc = status_fail(STATUS_FORMAT,
                         "special tokens and characters alone are %zu tokens, the vocabulary shall "
                         "have %zu; raise its size or lower the alphabet",
                         t->tokens, size);
    if (!rc) rc = trainer_merge_all(t);
    for (size_t i = 0; i < t->tokens && !rc; i++) {
        buffer_text(out, trainer_text(t, (int32_t)i));
        buffer_text(out, "\n");
        rc = out->failed;
    }
    *count = (int32_t)t->tokens;
    return rc;
}

// --- opening and closing -------------------------------------------------------------------------
status wordpiece_trainer_open(wordpiece_trainer **out, const wordpiece_train_options *options) {
    wordpiece_trainer *t = NULL;
    *out = NULL;
    status rc = mem_new(&t, 1, "a trainer");
    if (!rc) rc = wordpiece_rules_init(&t->rules, options->cased, options->extra, options->extras);
    if (rc) {
        mem_free(t);
        return rc;
    }
    t->options = *options;
    *out = t;
    return STATUS_OK;
}

void wordpiece_trainer_close(wordpiece_trainer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->words; i++) mem_free(t->word[i].piece);
    for (size_t i = 0; i < t->pairs; i++) mem_free(t->pair[i].word);
    wordpiece_work_free(&t->work);
    buffer_free(&t->texts);
    mem_free(t->word);
    mem_free(t->word_table.slot);
    mem_free(t->token_table.slot);
    mem_free(t->pair_table.slot);
    mem_free(t->token);
    mem_free(t->pair);
    mem_free(t->changed);
    mem_free(t->heap);
    mem_free(t);
}
