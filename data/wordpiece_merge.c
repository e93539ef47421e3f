// The merging half of the trainer: again and again the most frequent pair of neighbours becomes one
// token.
//
// A merge touches only the words that hold the pair: each pair keeps a list of them (with words
// that lost it since), and a heap holds pairs by count, whose entries are corrected when they come
// to its top.
#include "data/wordpiece_train.h"

#include <stdio.h>
#include <string.h>

static uint64_t hash_pair(int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

// --- pairs ---------------------------------------------------------------------------------------
static bool same_pair(const wordpiece_trainer *t, uint32_t i, const table_key *key) {
    return t->pair[i].left == key->left && t->pair[i].right == key->right;
}
static uint64_t pair_hash(const wordpiece_trainer *t, uint32_t i) {
    return hash_pair(t->pair[i].left, t->pair[i].right);
}

static status put_pair(wordpiece_trainer *t, uint32_t *number, int32_t left, int32_t right) {
    const table_key key = {.hash = hash_pair(left, right), .left = left, .right = right};
    status rc = trainer_reserve(t, &t->pair_table, pair_hash);
    if (rc) return rc;
    uint32_t *slot = trainer_slot(t, &t->pair_table, &key, same_pair);
    if (!*slot) {
        rc = mem_grow((void **)&t->pair, &t->pair_room, t->pairs + 1, sizeof *t->pair, "pairs");
        if (rc) return rc;
        t->pair[t->pairs] = (pair){.left = left, .right = right};
        *slot = (uint32_t)++t->pairs;
        t->pair_table.used++;
    }
    *number = *slot - 1;
    return STATUS_OK;
}

// Adds SIGN times the word's count to each of its pairs. Those that hold FRESH (-1: all) get the
// word into their lists and themselves among the changed ones.
static status count_pairs(wordpiece_trainer *t, int32_t word, int sign, int32_t fresh) {
    const train_word *w = &t->word[word];
    for (int32_t i = 0; i + 1 < w->pieces; i++) {
        int32_t left = w->piece[i], right = w->piece[i + 1];
        uint32_t number;
        status rc = put_pair(t, &number, left, right);
        if (rc) return rc;
        pair *p = &t->pair[number];
        p->count += sign * w->count;
        if (sign < 0 || (fresh >= 0 && left != fresh && right != fresh)) continue;
        if (!p->words || p->word[p->words - 1] != word) {
            rc = mem_grow((void **)&p->word, &p->room, p->words + 1, sizeof *p->word, "pairs");
            if (rc) return rc;
            p->word[p->words++] = word;
        }
        if (p->changed) continue;
        rc = mem_grow((void **)&t->changed, &t->changed_room, t->changes + 1, sizeof *t->changed,
                      "pairs");
        if (rc) return rc;
        t->changed[t->changes++] = number;
        p->changed = true;
    }
    return STATUS_OK;
}

// --- the heap ------------------------------------------------------------------------------------
// More frequent first; of equals the one whose tokens are older, which every run numbers alike.
static bool comes_first(const wordpiece_trainer *t, heap_entry a, heap_entry b) {
    const pair *x = &t->pair[a.pair], *y = &t->pair[b.pair];
    if (a.count != b.count) return a.count > b.count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static status heap_push(wordpiece_trainer *t, heap_entry entry) {
    status rc = mem_grow((void **)&t->heap, &t->heap_room, t->heaped + 1, sizeof *t->heap, "pairs");
    if (rc) return rc;
    size_t i = t->heaped++;
    for (size_t up; i > 0 && comes_first(t, entry, t->heap[up = (i - 1) / 2]); i = up)
        t->heap[i] = t->heap[up];
    t->heap[i] = entry;
    return STATUS_OK;
}

static heap_entry heap_pop(wordpiece_trainer *t) {
    heap_entry top = t->heap[0], last = t->heap[--t->heaped];
    size_t i = 0;
    for (size_t down; (down = 2 * i + 1) < t->heaped; i = down) {
        if (down + 1 < t->heaped && comes_first(t, t->heap[down + 1], t->heap[down])) down++;
        if (!comes_first(t, t->heap[down], last)) break;
        t->heap[i] = t->heap[down];
    }
    if (t->heaped) t->heap[i] = last;
    return top;
}

static status push_changed(wordpiece_trainer *t) {
    status rc = STATUS_OK;
    for (size_t i = 0; i < t->changes && !rc; i++) {
        pair *p = &t->pair[t->changed[i]];
        p->changed = false;
        if (p->count >= t->options.min_frequency)
            rc = heap_push(t, (heap_entry){p->count, t->changed[i]});
    }
    t->changes = 0;
    return rc;
}

// The most frequent pair, *FOUND false where none is frequent enough. An entry whose pair has lost
// words since goes back with the count of now.
static status next_pair(wordpiece_trainer *t, uint32_t *number, bool *found) {
    *found = false;
    while (t->heaped) {
        heap_entry top = heap_pop(t);
        int64_t count = t->pair[top.pair].count;
        *number = top.pair;
        *found = count == top.count;
        if (*found) return STATUS_OK;
        status rc = STATUS_OK;
        if (count < top.count && count >= t->options.min_frequency)
            rc = heap_push(t, (heap_entry){count, top.pair});
        if (rc) return rc;
    }
    return STATUS_OK;
}

// --- merging -------------------------------------------------------------------------------------
// The words as characters. Those with a character outside of the alphabet stay without pieces: the
// encoder makes [UNK] of them as a whole.
static status first_pieces(wordpiece_trainer *t) {
    for (size_t i = 0; i < t->words; i++) {
        train_word *w = &t->word[i];
        status rc = mem_new(&w->piece, w->length, "words");
        for (size_t at = 0, n; at < w->length && !rc; at += n) {
            uint32_t c;
            bool good;
            const char *bytes = t->texts.data + w->begin + at;
            n = utf8_read(&c, &good, bytes, w->length - at);
            w->piece[w->pieces] = trainer_letter(t, bytes, n, at > 0);
            if (w->piece[w->pieces++] >= 0) continue;
            w->pieces = 0;
            break;
        }
        if (!rc) rc = count_pairs(t, (int32_t)i, 1, -1);
        if (rc) return rc;
    }
    return push_changed(t);
}

static void merge_word(train_word *w, int32_t left, int32_t right, int32_t merged) {
    int32_t kept = 0;
    for (int32_t i = 0; i < w->pieces; kept++) {
        bool both = i + 1 < w->pieces && w->piece[i] == left && w->piece[i + 1] == right;
        w->piece[kept] = both ? merged : w->piece[i];
        i += both ? 2 : 1;
    }
    w->pieces = kept;
}

static bool holds(const train_word *w, int32_t left, int32_t right) {
    for (int32_t i = 0; i + 1 < w->pieces; i++)
        if (w->piece[i] == left && w->piece[i + 1] == right) return true;
    return false;
}

static status merge_pair(wordpiece_trainer *t, uint32_t number) {
    char text[2 * WORDPIECE_WORD_BYTES + 8];
    int32_t left = t->pair[number].left, right = t->pair[number].right, merged;
    snprintf(text, sizeof text, "%s%s", trainer_text(t, left), trainer_text(t, right) + 2);
    status rc = trainer_token(t, &merged, text);
    // The table of pairs may move, and this pair's list grow where the merged token is one of it.
    size_t words = t->pair[number].words;
    for (size_t i = 0; i < words && !rc; i++) {
        int32_t word = t->pair[number].word[i];
        if (!holds(&t->word[word], left, right)) continue;
        rc = count_pairs(t, word, -1, -1);
        merge_word(&t->word[word], left, right, merged);
        if (!rc) rc = count_pairs(t, word, 1, merged);
    }
    mem_free(t->pair[number].word);
    t->pair[number].word = NULL;
    t->pair[number].words = t->pair[number].room = 0;
    return rc ? rc : push_changed(t);
}

status trainer_merge_all(wordpiece_trainer *t) {
    uint32_t number;
    bool found = true;
    status rc = first_pieces(t);
    while (!rc && found && t->tokens < (size_t)t->options.size) {
        rc = next_pair(t, &number, &found);
        if (!rc && found) rc = merge_pair(t, number);
    }
    return rc;
}
