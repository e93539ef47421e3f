// Byte-level BPE: a vocabulary and its merges, and merging. Checked against tokenizers' BPE model:
// the pair of lowest rank first, the leftmost of equal ones.
//
// Tokens are kept as they stand in files, where each byte is one of 256 characters (Radford et al.
// 2019, encoder.py): printable ones stand for themselves, the others for U+0100 and up.
#include "core/checksum.h"
#include "core/hash.h"
#include "core/utf8.h"
#include "data/tokenizer_private.h"

#include <string.h>

typedef struct merge {
    int32_t left, right, made;
    int32_t rank;
} merge;

struct bpe {
    bpe_options options;
    int32_t count, longest; // LONGEST: bytes of a token's text
    size_t *begin;          // (count): its text, with a NUL behind; 0: not there yet
    buffer texts;
    int32_t *token_slot; // (token_mask + 1): 0: free, else id + 1
    size_t token_mask;
    merge *merge; // (merges)
    size_t merges, merge_room;
    uint32_t *merge_slot; // (merge_mask + 1): 0: free, else number + 1
    size_t merge_mask;
    int32_t byte[256]; // their tokens
};

// --- bytes and characters ------------------------------------------------------------------------
static bool stands_for_itself(unsigned byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// 0 to 32, 127 to 160, and 173 have U+0100 to U+0143, in this order.
int bpe_byte_of(uint32_t c) {
    if (c < 0x100) return stands_for_itself(c) ? (int)c : -1;
    c -= 0x100;
    return c <= 32 ? (int)c : c <= 66 ? (int)c - 33 + 127 : c == 67 ? 173 : -1;
}

size_t bpe_char_of(char out[2], unsigned char byte) {
    uint32_t c = byte;
    if (!stands_for_itself(c)) c = 0x100u + (c <= 32 ? c : c <= 160 ? c - 127 + 33 : 67);
    return utf8_write(out, c);
}

void bpe_bytes(const char *text, buffer *out) {
    const size_t length = strlen(text), start = out->length;
    for (size_t at = 0; at < length;) {
        uint32_t c;
        bool good;
        at += utf8_read(&c, &good, text + at, length - at);
        int byte = bpe_byte_of(c);
        if (byte < 0 || out->failed) {
            out->length = start;
            buffer_append(out, text, length);
            return;
        }
        buffer_append(out, &(unsigned char){(unsigned char)byte}, 1);
    }
}

// --- tables --------------------------------------------------------------------------------------
static int32_t *token_slot(const bpe *b, const char *text, size_t length) {
    const uint64_t hash = hash_bytes(hash_start, text, length) >> 32;
    for (size_t i = hash & b->token_mask;; i = (i + 1) & b->token_mask) {
        int32_t id = b->token_slot[i] - 1;
        if (id < 0) return &b->token_slot[i];
        const char *other = bpe_text(b, id);
        if (!strncmp(other, text, length) && !other[length]) return &b->token_slot[i];
    }
}

static uint32_t *merge_slot(const bpe *b, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = (key * 0x9e3779b97f4a7c15u) >> 32 & b->merge_mask;;
         i = (i + 1) & b->merge_mask) {
        uint32_t n = b->merge_slot[i];
        if (!n || (b->merge[n - 1].left == left && b->merge[n - 1].right == right))
            return &b->merge_slot[i];
    }
}

static const merge *merge_of(const bpe *b, int32_t left, int32_t right) {
    uint32_t n = *merge_slot(b, left, right);
    return n ? &b->merge[n - 1] : NULL;
}

static size_t slots_for(size_t count) {
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    return slots;
}

// --- filling -------------------------------------------------------------------------------------
status bpe_new(bpe **out, const bpe_options *options, int32_t count) {
    bpe *b = NULL;
    *out = NULL;
    status rc = mem_new(&b, 1, "a vocabulary");
    if (rc) return rc;
    b->options = *options;
    b->count = count;
    b->token_mask = slots_for((size_t)count) - 1;
    b->merge_mask = slots_for((size_t)count) - 1;
    rc = mem_new(&b->begin, count, "a vocabulary");
    if (!rc) rc = mem_new(&b->token_slot, b->token_mask + 1, "a vocabulary");
    if (!rc) rc = mem_new(&b->merge_slot, b->merge_mask + 1, "merges");
    buffer_append(&b->texts, "", 1); // so that no text begins at 0
    if (!rc) rc = b->texts.failed;
    if (rc)
        bpe_close(b);
    else
        *out = b;
    return rc;
}

void bpe_close(bpe *b) {
    if (!b) return;
    mem_free(b->begin);
    buffer_free(&b->texts);
    mem_free(b->token_slot);
    mem_free(b->merge);
    mem_free(b->merge_slot);
    mem_free(b);
}

status bpe_token(bpe *b, int32_t id, const char *text) {
    size_t length = strlen(text);
    if (id < 0 || id >= b->count)
        return status_fail(STATUS_FORMAT, "token '%.64s' has id %d, and there are %d tokens", text,
                           id, b->count);
    if (b->begin[id])
        return status_fail(STATUS_FORMAT, "tokens '%.64s' and '%.64s' both have id %d",
                           bpe_text(b, id), text, id);
    if (length > TOKEN_TEXT_MAX)
        return status_fail(STATUS_FORMAT, "token %d is %zu bytes long; at most %d", id, length,
                           TOKEN_TEXT_MAX);
    int32_t *slot = token_slot(b, text, length);
    if (*slot) return status_fail(STATUS_FORMAT, "token '%.64s' is there twice", text);
    b->begin[id] = b->texts.length;
    buffer_append(&b->texts, text, length + 1);
    *slot = id + 1;
    if ((int32_t)length > b->longest) b->longest = (int32_t)length;
    return b->texts.failed;
}

static status more_merges(bpe *b) {
    uint32_t *old = b->merge_slot;
    size_t mask = b->merge_mask * 2 + 1;
    status rc = mem_new(&b->merge_slot, mask + 1, "merges");
    if (rc) {
        b->merge_slot = old;
        return rc;
    }
    b->merge_mask = mask;
    for (uint32_t n = 0; n < b->merges; n++)
        *merge_slot(b, b->merge[n].left, b->merge[n].right) = n + 1;
    mem_free(old);
    return STATUS_OK;
}

// A pair that comes twice counts where it comes last, as it does in the reference's table.
status bpe_merge(bpe *b, const char *left, size_t left_length, const char *right,
                 size_t right_length) {
    char both[2 * TOKEN_TEXT_MAX + 1];
    int32_t a = bpe_find(b, left, left_length), c = bpe_find(b, right, right_length), made = -1;
    if (a >= 0 && c >= 0) {
        memcpy(both, left, left_length);
        memcpy(both + left_length, right, right_length);
        made = bpe_find(b, both, left_length + right_length);
    }
    if (made < 0)
        return status_fail(STATUS_FORMAT,
                           "the merge of '%.*s' and '%.*s': one of them or what it makes is not in "
                           "the vocabulary",
                           (int)(left_length < 64 ? left_length : 64), left,
                           (int)(right_length < 64 ? right_length : 64), right);
    status rc = STATUS_OK;
    if (b->merges == TOKENS_MAX)
        return status_fail(STATUS_FORMAT, "more than %d merges", TOKENS_MAX);
    if (2 * (b->merges + 1) > b->merge_mask) rc = more_merges(b);
    if (!rc)
        rc =
            mem_grow((void **)&b->merge, &b->merge_room, b->merges + 1, sizeof *b->merge, "merges");
    if (rc) return rc;
    b->merge[b->merges] = (merge){.left = a, .right = c, .made = made, .rank = (int32_t)b->merges};
    *merge_slot(b, a, c) = (uint32_t)++b->merges;
    return STATUS_OK;
}

status bpe_ready(bpe *b) {
    for (int32_t id = 0; id < b->count; id++)
        if (!b->begin[id])
            return status_fail(STATUS_FORMAT, "%d tokens, and none has id %d", b->count, id);
    for (int byte = 0; byte < 256; byte++) {
        char text[2];
        size_t length = bpe_char_of(text, (unsigned char)byte);
        b->byte[byte] = bpe_find(b, text, length);
        if (b->byte[byte] < 0)
            return status_fail(STATUS_FORMAT,
                               "no token for the byte 0x%02x ('%.*s'); is this byte-level BPE?",
                               (unsigned)byte, (int)length, text);
    }
    return STATUS_OK;
}

// --- asking --------------------------------------------------------------------------------------
int32_t bpe_count(const bpe *b) {
    return b->count;
}

int32_t bpe_find(const bpe *b, const char *text, size_t length) {
    return length > (size_t)b->longest ? -1 : *token_slot(b, text, length) - 1;
}

const char *bpe_text(const bpe *b, int32_t id) {
    return b->texts.data + b->begin[id];
}

uint32_t bpe_checksum(const bpe *b) {
    const unsigned char rules[] = {(unsigned char)b->options.pattern, b->options.prefix,
                                   b->options.ignore_merges};
    uint32_t crc = checksum_crc32(0, rules, sizeof rules);
    for (int32_t id = 0; id < b->count; id++)
        crc = checksum_crc32(crc, bpe_text(b, id), strlen(bpe_text(b, id)) + 1);
    for (size_t n = 0; n < b->merges; n++) {
        const int32_t word[] = {b->merge[n].left, b->merge[n].right};
        unsigned char bytes[8];
        for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(word[i / 4] >> (8 * (i % 4)));
        crc = checksum_crc32(crc, bytes, sizeof bytes);
    }
    return crc;
}

// --- merging -------------------------------------------------------------------------------------
typedef struct symbol {
    int32_t id; // -1: it went into the one before
    int32_t before, behind;
} symbol;

typedef struct candidate {
    int32_t rank, at, made;
} candidate;

struct bpe_work {
    symbol *symbol;
    candidate *heap; // (heaped), the least first
    size_t room, heaped, heap_room;
    buffer prefixed, key;
};

status bpe_work_new(bpe_work **out) {
    return mem_new(out, 1, "tokens");
}

void bpe_work_free(bpe_work *w) {
    if (!w) return;
    mem_free(w->symbol);
    mem_free(w->heap);
    buffer_free(&w->prefixed);
    buffer_free(&w->key);
    mem_free(w);
}

static bool less(const candidate *a, const candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(bpe_work *w, candidate c) {
    size_t i = w->heaped++;
    for (; i && less(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static candidate heap_pop(bpe_work *w) {
    const candidate least = w->heap[0], last = w->heap[--w->heaped];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heaped; i = child) {
        if (child + 1 < w->heaped && less(&w->heap[child + 1], &w->heap[child])) child++;
        if (!less(&w->heap[child], &last)) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return least;
}

// The merge of the symbol at AT with the one behind it, if there is one.
static void consider(const bpe *b, bpe_work *w, int32_t at) {
    int32_t behind = at < 0 ? -1 : w->symbol[at].behind;
    if (behind < 0) return;
    const merge *m = merge_of(b, w->symbol[at].id, w->symbol[behind].id);
    if (m) heap_push(w, (candidate){.rank = m->rank, .at = at, .made = m->made});
}

static void merge_all(const bpe *b, bpe_work *w, int32_t count) {
    symbol *s = w->symbol;
    w->heaped = 0;
    for (int32_t i = 0; i + 1 < count; i++) consider(b, w, i);
    while (w->heaped) {
        candidate c = heap_pop(w);
        int32_t behind = s[c.at].behind;
        if (s[c.at].id < 0 || behind < 0) continue;
        const merge *m = merge_of(b, s[c.at].id, s[behind].id);
        if (!m || m->made != c.made) continue; // one of the two has changed since
        s[c.at].id = c.made;
        s[c.at].behind = s[behind].behind;
        s[behind].id = -1;
        if (s[c.at].behind >= 0) s[s[c.at].behind].before = c.at;
        consider(b, w, s[c.at].before);
        consider(b, w, c.at);
    }
}

// The token of a whole word, -1: none.
static int32_t whole_word(const bpe *b, bpe_work *w, const char *text, size_t length) {
    if (length > (size_t)b->longest) return -1;
    w->key.length = 0;
    for (size_t i = 0; i < length; i++) {
        char c[2];
        buffer_append(&w->key, c, bpe_char_of(c, (unsigned char)text[i]));
    }
    return w->key.failed ? -1 : bpe_find(b, w->key.data, w->key.length);
}

static status encode_word(const bpe *b, bpe_work *w, const char *text, size_t length, buffer *out) {
    if (b->options.ignore_merges) {
        int32_t id = whole_word(b, w, text, length);
        if (id >= 0) buffer_append(out, &id, sizeof id);
        if (id >= 0 || w->key.failed) return w->key.failed;
    }
    status rc =
        mem_grow((void **)&w->symbol, &w->room, length, sizeof *w->symbol, "the tokens of a word");
    // Each merge removes a symbol and offers two pairs.
    if (!rc)
        rc = mem_grow((void **)&w->heap, &w->heap_room, 3 * length, sizeof *w->heap,
                      "the tokens of a word");
    if (rc) return rc;
    for (size_t i = 0; i < length; i++)
        w->symbol[i] = (symbol){.id = b->byte[(unsigned char)text[i]],
                                .before = (int32_t)i - 1,
                                .behind = i + 1 < length ? (int32_t)i + 1 : -1};
    merge_all(b, w, (int32_t)length);
    for (int32_t i = 0; i >= 0; i = w->symbol[i].behind)
        buffer_append(out, &w->symbol[i].id, sizeof w->symbol[i].id);
    return STATUS_OK;
}

status bpe_encode(const bpe *b, bpe_work *work, const char *text, size_t length, buffer *out) {
    status rc = STATUS_OK;
    if (length > TOKENIZER_FILE_MAX)
        return status_fail(STATUS_FORMAT, "a text of %zu bytes to tokenise; at most %d", length,
                           TOKENIZER_FILE_MAX);
    if (b->options.prefix && length && text[0] != ' ') {
        work->prefixed.length = 0;
        buffer_text(&work->prefixed, " ");
        buffer_append(&work->prefixed, text, length);
        if (work->prefixed.failed) return work->prefixed.failed;
        text = work->prefixed.data;
        length = work->prefixed.length;
    }
    for (size_t at = 0, taken; at < length && !rc; at += taken) {
        taken = bpe_word(b->options.pattern, text + at, length - at);
        rc = encode_word(b, work, text + at, taken, out);
    }
    return rc ? rc : out->failed;
}
