// Special tokens around a model of either family: cutting them out of texts, putting them back into
// texts, names, checksum. What stands between them is data/sentencepiece_text.c's or data/bpe.c's.
//
// Where several special tokens begin, the longest counts; what was cut out is not looked at again.
// This is what both the trie of transformers 4.28.1 and the automaton of tokenizers do.
#include "core/checksum.h"
#include "core/utf8.h"
#include "data/characters.h"
#include "data/tokenizer_private.h"

#include <stdlib.h>
#include <string.h>

// --- special tokens ------------------------------------------------------------------------------
static int32_t model_count(const tokenizer *t) {
    return t->pieces ? piece_model_count(t->pieces) : bpe_count(t->merges);
}

static int32_t added_find(const tokenizer *t, const char *text, size_t length) {
    for (int32_t i = 0; i < t->addeds; i++)
        if (t->added[i].length == length && !memcmp(t->added[i].text, text, length)) return i;
    return -1;
}

static const added_token *added_of(const tokenizer *t, int32_t id) {
    int32_t low = 0, high = t->by_id.count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        const added_token *a = &t->added[t->by_id.index[middle]];
        if (a->id == id) return a;
        if (a->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int32_t tokenizer_find(const tokenizer *t, const char *text, size_t length) {
    int32_t i = added_find(t, text, length);
    if (i >= 0) return t->added[i].id;
    return t->pieces ? piece_model_find(t->pieces, text, length)
                     : bpe_find(t->merges, text, length);
}

status tokenizer_put(tokenizer *t, const added_token *token) {
    added_token a = *token;
    int32_t id = tokenizer_find(t, a.text, a.length);
    if (t->size == TOKENS_MAX) return status_fail(STATUS_FORMAT, "more than %d tokens", TOKENS_MAX);
    if (id < 0) id = t->size;
    if (a.id >= 0 && a.id != id)
        return status_fail(STATUS_FORMAT,
                           "the added token '%.64s' has id %d; %d is its place in the vocabulary",
                           a.text, a.id, id);
    if (added_find(t, a.text, a.length) >= 0)
        return status_fail(STATUS_FORMAT, "the added token '%.64s' is there twice", a.text);
    status rc = mem_grow((void **)&t->added, &t->added_room, (size_t)t->addeds + 1,
                         sizeof *t->added, "added tokens");
    if (!rc) rc = mem_string(&a.text, token->text);
    if (rc) return rc;
    a.id = id;
    t->added[t->addeds++] = a;
    if (id == t->size) t->size++;
    return STATUS_OK;
}

typedef int compare_tokens(const void *a, const void *b, void *added);

static int compare_texts(const void *x, const void *y, void *added) {
    const added_token *a = (added_token *)added + *(const int32_t *)x,
                      *b = (added_token *)added + *(const int32_t *)y;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, shorter);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int compare_ids(const void *x, const void *y, void *added) {
    const added_token *a = (added_token *)added + *(const int32_t *)x,
                      *b = (added_token *)added + *(const int32_t *)y;
    return (a->id > b->id) - (a->id < b->id);
}

// Those that are LATE as told; -1: all.
static status make_order(added_order *o, const tokenizer *t, int late, compare_tokens *compare) {
    int32_t *index = NULL, count = 0;
    status rc = mem_new(&index, t->addeds ? t->addeds : 1, "added tokens");
    if (rc) return rc;
    for (int32_t i = 0; i < t->addeds; i++)
        if (late < 0 || t->added[i].late == late) index[count++] = i;
    qsort_r(index, (size_t)count, sizeof *index, compare, t->added);
    mem_free(o->index);
    *o = (added_order){.index = index, .count = count};
    return STATUS_OK;
}

status tokenizer_order(tokenizer *t) {
    status rc = make_order(&t->early, t, 0, compare_texts);
    if (!rc) rc = make_order(&t->late, t, 1, compare_texts);
    return rc ? rc : make_order(&t->by_id, t, -1, compare_ids);
}

// The character that ends at END, which is not TEXT's beginning; TEXT is valid UTF-8.
static uint32_t char_before(const char *text, size_t end, size_t *length) {
    uint32_t c;
    bool good;
    size_t at = end - 1;
    while (at && ((unsigned char)text[at] & 0xc0) == 0x80) at--;
    *length = end - at;
    utf8_read(&c, &good, text + at, end - at);
    return c;
}

static uint32_t char_at(const char *text, size_t at, size_t length, size_t *taken) {
    uint32_t c;
    bool good;
    *taken = utf8_read(&c, &good, text + at, length - at);
    return c;
}

// White space at the text's end, and at its beginning. SentencePiece's tokenizer in Python strips
// what Python calls white space, which is four control characters more.
static bool is_blank(const tokenizer *t, uint32_t c) {
    return t->pieces ? character_is_space(c) : character_is_white(c);
}

static size_t blank_before(const tokenizer *t, const char *text, size_t begin, size_t end) {
    for (size_t length; end > begin && is_blank(t, char_before(text, end, &length));
         end -= length) {
    }
    return end;
}

static size_t blank_behind(const tokenizer *t, const char *text, size_t at, size_t length) {
    for (size_t taken; at < length && is_blank(t, char_at(text, at, length, &taken)); at += taken) {
    }
    return at;
}

static bool good_special(const char *text) {
    size_t length = strlen(text), taken;
    if (!length || length > TOKEN_TEXT_MAX || !text_is_utf8(text, length)) return false;
    const uint32_t ends[] = {char_at(text, 0, length, &taken), char_before(text, length, &taken)};
    for (int i = 0; i < 2; i++)
        if (character_is_space(ends[i])) return false;
    return true;
}

status tokenizer_add(tokenizer *t, const char *text, bool strips, int32_t *id) {
    size_t length = strlen(text);
    int32_t i = added_find(t, text, length);
    if (i >= 0 && t->added[i].special) {
        *id = t->added[i].id;
        return STATUS_OK;
    }
    if (!good_special(text))
        return status_fail(STATUS_USAGE,
                           "special token '%.64s'; it must be UTF-8, of 1 to %d bytes, without "
                           "white space at its ends",
                           text, TOKEN_TEXT_MAX);
    const added_token a = {.text = (char *)text,
                           .length = length,
                           .id = -1,
                           .left = strips,
                           .right = strips,
                           .special = true};
    status rc = STATUS_OK;
    if (i >= 0)
        t->added[i].special = true;
    else
        rc = tokenizer_put(t, &a);
    if (!rc) rc = tokenizer_order(t);
    if (!rc) *id = tokenizer_find(t, text, length);
    return rc;
}

int32_t tokenizer_special(const tokenizer *t, const char *text) {
    int32_t i = added_find(t, text, strlen(text));
    return i >= 0 && t->added[i].special ? t->added[i].id : -1;
}

int32_t tokenizer_size(const tokenizer *t) {
    return t->size;
}

tokenizer_ids tokenizer_named(const tokenizer *t) {
    return t->named;
}

void tokenizer_close(tokenizer *t) {
    if (!t) return;
    for (int32_t i = 0; i < t->addeds; i++) mem_free(t->added[i].text);
    mem_free(t->added);
    mem_free(t->early.index);
    mem_free(t->late.index);
    mem_free(t->by_id.index);
    piece_model_close(t->pieces);
    bpe_close(t->merges);
    mem_free(t);
}

uint32_t tokenizer_checksum(const tokenizer *t) {
    uint32_t crc = t->pieces ? piece_model_checksum(t->pieces) : bpe_checksum(t->merges);
    for (int32_t i = 0; i < t->addeds; i++) {
        const added_token *a = &t->added[i];
        const unsigned char facts[] = {(unsigned char)a->id,
                                       (unsigned char)(a->id >> 8),
                                       (unsigned char)(a->id >> 16),
                                       a->left,
                                       a->right,
                                       a->single,
                                       a->special,
                                       a->late};
        crc = checksum_crc32(crc, a->text, a->length + 1);
        crc = checksum_crc32(crc, facts, sizeof facts);
    }
    return crc;
}

// --- text to ids ---------------------------------------------------------------------------------
typedef struct encoder {
    const tokenizer *t;
    bpe_work *work;
    buffer *out;
} encoder;

// The longest token of O that stands at TEXT, -1: none. Those that share the bytes so far lie
// between LOW and HIGH.
static int32_t added_at(const tokenizer *t, const added_order *o, const char *text, size_t left) {
    int32_t low = 0, high = o->count, best = -1;
    for (size_t depth = 0; low < high; depth++) {
        if (t->added[o->index[low]].length == depth) best = o->index[low++];
        if (depth == left) break;
        unsigned char want = (unsigned char)text[depth];
        int32_t a = low, b = high;
        while (a < b) { // the first that is not below
            int32_t middle = a + (b - a) / 2;
            if ((unsigned char)t->added[o->index[middle]].text[depth] < want)
                a = middle + 1;
            else
                b = middle;
        }
        low = a;
        b = high;
        while (a < b) { // the first that is above
            int32_t middle = a + (b - a) / 2;
            if ((unsigned char)t->added[o->index[middle]].text[depth] <= want)
                a = middle + 1;
            else
                b = middle;
        }
        high = a;
    }
    return best;
}

static bool stands_alone(const char *text, size_t begin, size_t end, size_t length) {
    size_t taken;
    return (!begin || !char_is_word(char_before(text, begin, &taken))) &&
           (end == length || !char_is_word(char_at(text, end, length, &taken)));
}

static status encode_rest(const encoder *e, const added_order *o, const char *text, size_t length);

// TEXT cut at the tokens of O. BEGIN is where what was not encoded yet starts; a token's white
// space never reaches in front of it.
static status encode_cut(const encoder *e, const added_order *o, const char *text, size_t length) {
    const tokenizer *t = e->t;
    size_t begin = 0;
    status rc = STATUS_OK;
    for (size_t at = 0, next; at < length && !rc; at = next) {
        int32_t i = added_at(t, o, text + at, length - at);
        next = at + 1;
        if (i < 0) continue;
        const added_token *a = &t->added[i];
        size_t from = at, to = next = at + a->length;
        if (a->single && !stands_alone(text, from, to, length)) continue;
        if (a->left && from > begin) from = blank_before(t, text, begin, from);
        if (a->right) to = blank_behind(t, text, to, length);
        if (begin < from) rc = encode_rest(e, o, text + begin, from - begin);
        buffer_append(e->out, &a->id, sizeof a->id);
        begin = to;
    }
    if (!rc && begin < length) rc = encode_rest(e, o, text + begin, length - begin);
    return rc;
}

static status encode_rest(const encoder *e, const added_order *o, const char *text, size_t length) {
    if (o == &e->t->early && e->t->late.count) return encode_cut(e, &e->t->late, text, length);
    return e->t->pieces ? piece_model_encode(e->t->pieces, text, length, e->out)
                        : bpe_encode(e->t->merges, e->work, text, length, e->out);
}

// The bytes of TEXT up to the first that is not UTF-8; LENGTH where all are.
static size_t good_bytes(const char *text, size_t length) {
    for (size_t at = 0, taken; at < length; at += taken) {
        uint32_t c;
        bool good = true;
        taken = 1;
        if ((unsigned char)text[at] >= 0x80)
            taken = utf8_read(&c, &good, text + at, length - at);
        if (!good) return at;
    }
    return length;
}

// TEXT, with U+FFFD for what is not UTF-8.
static void copy_good(buffer *out, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        uint32_t c;
        bool good;
        size_t taken = utf8_read(&c, &good, text + at, length - at);
        buffer_append(out, good ? text + at : "\xef\xbf\xbd", good ? taken : 3);
        at += taken;
    }
}

status tokenizer_encode(const tokenizer *t, const char *text, size_t length, buffer *out) {
    encoder e = {.t = t, .out = out};
    buffer clean = {0};
    status rc = STATUS_OK;
    if (good_bytes(text, length) < length) {
        copy_good(&clean, text, length);
        rc = clean.failed;
        text = clean.data;
        length = clean.length;
    }
    if (!rc && t->merges) rc = bpe_work_new(&e.work);
    if (!rc) rc = encode_cut(&e, &t->early, text, length);
    bpe_work_free(e.work);
    buffer_free(&clean);
    return rc ? rc : out->failed;
}

// --- ids to text ---------------------------------------------------------------------------------
// One run of tokens that stand in the model, as LlamaTokenizer.convert_tokens_to_string of 4.28.1
// writes it: a special token goes behind the text of what was before it, and a blank in front of
// that text, unless it is the first token or follows a special one.
static void decode_run(const tokenizer *t, const int32_t *id, int64_t count, buffer *out) {
    int64_t begin = 0;
    bool after_special = false;
    for (int64_t i = 0; i < count; i++) {
        const added_token *a = added_of(t, id[i]);
        if (a && a->special) {
            if (!after_special && i) buffer_text(out, " ");
            piece_model_decode(t->pieces, id + begin, i - begin, out);
            buffer_append(out, a->text, a->length);
            begin = i + 1;
        }
        after_special = a && a->special;
    }
    piece_model_decode(t->pieces, id + begin, count - begin, out);
}

// Runs and the tokens that were added behind the model's, joined by blanks.
static void decode_pieces(const tokenizer *t, const int32_t *id, int64_t count, buffer *out) {
    const int32_t in_model = model_count(t);
    for (int64_t i = 0, end; i < count; i = end) {
        if (i) buffer_text(out, " ");
        for (end = i; end < count && id[end] < in_model; end++) {
        }
        if (end > i) {
            decode_run(t, id + i, end - i, out);
            continue;
        }
        buffer_text(out, added_of(t, id[i])->text);
        end = i + 1;
    }
}

static status decode_merges(const tokenizer *t, const int32_t *id, int64_t count, buffer *out) {
    buffer bytes = {0};
    for (int64_t i = 0; i < count; i++) {
        const added_token *a = added_of(t, id[i]);
        bpe_bytes(a ? a->text : bpe_text(t->merges, id[i]), &bytes);
    }
    if (!bytes.failed && bytes.length) copy_good(out, bytes.data, bytes.length);
    status rc = bytes.failed;
    buffer_free(&bytes);
    return rc;
}

status tokenizer_decode(const tokenizer *t, const int32_t *ids, int64_t count, bool skip,
                        buffer *out) {
    int32_t *kept = NULL;
    int64_t keeps = 0;
    status rc = mem_new(&kept, count + 1, "tokens");
    for (int64_t i = 0; i < count && !rc; i++) {
        if (ids[i] < 0 || ids[i] >= t->size)
            rc = status_fail(STATUS_FORMAT, "token %d; the vocabulary has %d", ids[i], t->size);
        const added_token *a = rc ? NULL : added_of(t, ids[i]);
        if (!skip || !a || !a->special) kept[keeps++] = ids[i];
    }
    if (!rc && t->pieces) decode_pieces(t, kept, keeps, out);
    if (!rc && t->merges) rc = decode_merges(t, kept, keeps, out);
    mem_free(kept);
    return rc ? rc : out->failed;
}
