// An open hash table over one block of words. See words.h.
#include "eval/words.h"
#include "core/buffer.h"
#include "core/hash.h"

#include <string.h>

struct words {
    buffer text;    // all words, each with its NUL
    size_t *start;  // (count): in text
    size_t *length; // (count)
    size_t count, start_room, length_room;
    int32_t *slot; // (slots): a word's number + 1; 0: free
    size_t slots;  // a power of two, at least twice count
};

enum { FIRST_SLOTS = 1024 };

status words_open(words **out) {
    status rc = mem_new(out, 1, "words");
    if (rc) return rc;
    (*out)->slots = FIRST_SLOTS;
    rc = mem_new(&(*out)->slot, FIRST_SLOTS, "words");
    if (rc) {
        mem_free(*out);
        *out = NULL;
    }
    return rc;
}

void words_close(words *w) {
    if (!w) return;
    buffer_free(&w->text);
    mem_free(w->start);
    mem_free(w->length);
    mem_free(w->slot);
    mem_free(w);
}

static uint64_t hash_of(const char *text, size_t length) {
    uint64_t hash = hash_bytes(hash_start, text, length);
    return hash ^ hash >> 32;
}

// The slot of a word, or the free one where it belongs.
static int32_t *slot_of(const words *w, const char *text, size_t length) {
    for (size_t i = hash_of(text, length);; i++) {
        int32_t *slot = &w->slot[i & (w->slots - 1)];
        if (!*slot) return slot;
        const size_t id = (size_t)*slot - 1;
        if (w->length[id] == length && memcmp(w->text.data + w->start[id], text, length) == 0)
            return slot;
    }
}

static status widen(words *w) {
    int32_t *old = w->slot;
    status rc = mem_new(&w->slot, 2 * w->slots, "words");
    if (rc) {
        w->slot = old;
        return rc;
    }
    w->slots *= 2;
    for (size_t i = 0; i < w->count; i++)
        *slot_of(w, w->text.data + w->start[i], w->length[i]) = (int32_t)i + 1;
    mem_free(old);
    return STATUS_OK;
}

static status add(words *w, const char *text, size_t length) {
    status rc = w->count >= INT32_MAX - 1
                    ? status_fail(STATUS_MEMORY, "words: more than %d different ones", INT32_MAX)
                    : STATUS_OK;
    if (!rc && 2 * (w->count + 1) > w->slots) rc = widen(w);
    if (!rc)
        rc = mem_grow((void **)&w->start, &w->start_room, w->count + 1, sizeof *w->start, "words");
    if (!rc)
        rc = mem_grow((void **)&w->length, &w->length_room, w->count + 1, sizeof *w->length,
                      "words");
    if (rc) return rc;
    const size_t start = w->text.length;
    buffer_append(&w->text, text, length);
    buffer_append(&w->text, "", 1);
    if (w->text.failed) return w->text.failed;
    w->start[w->count] = start;
    w->length[w->count] = length;
    *slot_of(w, text, length) = (int32_t)++w->count;
    return STATUS_OK;
}

status words_number(int32_t *id, words *w, const char *text, size_t length) {
    *id = words_find(w, text, length);
    if (*id >= 0) return STATUS_OK;
    status rc = add(w, text, length);
    if (!rc) *id = (int32_t)w->count - 1;
    return rc;
}

int32_t words_find(const words *w, const char *text, size_t length) {
    return *slot_of(w, text, length) - 1;
}

int32_t words_count(const words *w) {
    return (int32_t)w->count;
}

const char *words_text(const words *w, int32_t id) {
    if (id < 0 || (size_t)id >= w->count) die("words_text: word %d of %zu", id, w->count);
    return w->text.data + w->start[id];
}

// --- texts ---------------------------------------------------------------------------------------

static const char blanks[] = " \t\n\v\f\r";

// The next word at or behind TEXT, *LENGTH bytes of it; 0 at the end.
static const char *next_word(const char *text, size_t *length) {
    text += strspn(text, blanks);
    *length = strcspn(text, blanks);
    return text;
}

static int64_t count_words(const char *text) {
    int64_t count = 0;
    size_t length;
    for (const char *at = next_word(text, &length); length; at = next_word(at + length, &length))
        count++;
    return count;
}

status word_lists_open(word_lists *out, words *w, const char *const *text, int64_t count) {
    *out = (word_lists){.count = count};
    status rc = mem_new(&out->first, count + 1, "words of texts");
    if (rc) return rc;
    for (int64_t i = 0; i < count; i++) out->first[i + 1] = out->first[i] + count_words(text[i]);
    rc = mem_new(&out->id, out->first[count], "words of texts");
    int64_t next = 0;
    for (int64_t i = 0; i < count && !rc; i++) {
        size_t length;
        for (const char *at = next_word(text[i], &length); length && !rc;
             at = next_word(at + length, &length))
            rc = words_number(&out->id[next++], w, at, length);
    }
    if (rc) word_lists_close(out);
    return rc;
}

void word_lists_close(word_lists *lists) {
    mem_free(lists->first);
    mem_free(lists->id);
    *lists = (word_lists){0};
}
