// A BERT vocabulary: reading it, words to ids (WordPiece, greedy and longest first), ids to text.
//
// Two hash tables: all tokens by their bytes, for the beginnings of words, and those that start
// with "##" by what follows, for the rest. The hash is taken byte by byte, so that one pass over a
// word gives it for every prefix.
#include "core/files/fs.h"
#include "core/hash.h"
#include "data/wordpiece_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_BYTES_MAX = 1024, TOKENS_MAX = 1 << 22, FILE_MAX = 256 << 20 };

typedef struct token_table {
    int32_t *slot; // (mask + 1): 0: free, else id + 1
    size_t mask;
    size_t longest; // bytes of a key
    size_t skip;    // bytes of the token in front of its key: 0, or 2 for "##"
} token_table;

struct wordpiece {
    char *text;    // tokens, each with a NUL
    size_t *begin; // (count + 1)
    size_t begin_room;
    int32_t count, in_file;
    token_table whole, tail;
    wordpiece_rules rules;
    char *extra;                                       // the extra tokens' texts
    int32_t id[WORDPIECE_SPECIALS + WORDPIECE_EXTRAS]; // of the rules' special tokens
};

static size_t token_length(const wordpiece *w, int32_t id) {
    return w->begin[id + 1] - w->begin[id] - 1;
}

// The slot of the key, or the free one where it would stand.
static int32_t *table_slot(const wordpiece *w, const token_table *t, uint64_t hash, const char *key,
                           size_t length) {
    for (size_t i = (size_t)(hash >> 32) & t->mask;; i = (i + 1) & t->mask) {
        int32_t id = t->slot[i] - 1;
        if (id < 0) return &t->slot[i];
        if (token_length(w, id) == length + t->skip &&
            !memcmp(w->text + w->begin[id] + t->skip, key, length))
            return &t->slot[i];
    }
}

static int32_t table_find(const wordpiece *w, const token_table *t, const char *key,
                          size_t length) {
    const uint64_t hash = hash_bytes(hash_start, key, length);
    return *table_slot(w, t, hash, key, length) - 1;
}

static status table_init(token_table *t, size_t count, size_t skip) {
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    t->mask = slots - 1;
    t->skip = skip;
    return mem_new(&t->slot, slots, "a vocabulary");
}

// False where the key is there already.
static bool table_add(wordpiece *w, token_table *t, int32_t id) {
    const char *key = w->text + w->begin[id] + t->skip;
    size_t length = token_length(w, id) - t->skip;
    const uint64_t hash = hash_bytes(hash_start, key, length);
    int32_t *slot = table_slot(w, t, hash, key, length);
    if (*slot) return false;
    *slot = id + 1;
    if (length > t->longest) t->longest = length;
    return true;
}

// --- reading -------------------------------------------------------------------------------------
// "FILE:LINE: ..."
#define line_fail(name, line, ...) line_fail_at((name), (line), __VA_ARGS__)
static status __attribute__((format(printf, 3, 4)))
line_fail_at(const char *name, int32_t line, const char *format, ...) {
    char why[256];
    va_list list;
    va_start(list, format);
    vsnprintf(why, sizeof why, format, list);
    va_end(list);
    return status_fail(STATUS_FORMAT, "%s:%d: %s", name, line, why);
}

static status check_token(const char *name, int32_t line, const char *token, size_t length) {
    if (!length)
        return line_fail(name, line, "an empty line; every line of a vocabulary is a token");
    if (length > TOKEN_BYTES_MAX)
        return line_fail(name, line,
                         "%zu bytes in a line; a token has %d at most. Is this a vocab.txt?",
                         length, TOKEN_BYTES_MAX);
    if (memchr(token, 0, length)) return line_fail(name, line, "a NUL byte; is this a vocab.txt?");
    if (!text_is_utf8(token, length))
        return line_fail(name, line, "not UTF-8; is this a vocab.txt?");
    if (line == 1 && memmem(token, length, "\xef\xbb\xbf", 3))
        return line_fail(name, line,
                         "a byte order mark, which would belong to the first token; remove it");
    return STATUS_OK;
}

static status add_token(wordpiece *w, size_t *used, const char *token, size_t length) {
    status rc = mem_grow((void **)&w->begin, &w->begin_room, (size_t)w->count + 2, sizeof *w->begin,
                         "a vocabulary");
    if (rc) return rc;
    memcpy(w->text + *used, token, length);
    w->text[*used + length] = 0;
    *used += length + 1;
    w->begin[++w->count] = *used;
    return STATUS_OK;
}

// Lines end as in Python's text files: LF, CR LF, or CR alone.
static status read_lines(wordpiece *w, const char *name, const char *text, size_t size) {
    size_t used = 0;
    status rc = mem_new(&w->text, size + 1, "a vocabulary");
    for (size_t at = 0, end; at < size && !rc; at = end + 1) {
        for (end = at; end < size && text[end] != '\n' && text[end] != '\r'; end++) {
        }
        if (w->count == TOKENS_MAX)
            return line_fail(name, w->count + 1, "more than %d tokens", TOKENS_MAX);
        rc = check_token(name, w->count + 1, text + at, end - at);
        if (!rc) rc = add_token(w, &used, text + at, end - at);
        if (end + 1 < size && text[end] == '\r' && text[end + 1] == '\n') end++;
    }
    w->in_file = w->count;
    if (!rc && !w->count) rc = status_fail(STATUS_FORMAT, "%s: empty; is this a vocab.txt?", name);
    return rc;
}

static status make_tables(wordpiece *w, const char *name) {
    size_t tails = 0;
    for (int32_t id = 0; id < w->count; id++) tails += !strncmp(w->text + w->begin[id], "##", 2);
    status rc = table_init(&w->whole, (size_t)w->count, 0);
    if (!rc) rc = table_init(&w->tail, tails, 2);
    for (int32_t id = 0; id < w->count && !rc; id++) {
        const char *token = w->text + w->begin[id];
        if (!table_add(w, &w->whole, id)) {
            int32_t first = table_find(w, &w->whole, token, strlen(token));
            return line_fail(name, id + 1, "'%.64s' stands in line %d already", token, first + 1);
        }
        if (!strncmp(token, "##", 2)) table_add(w, &w->tail, id);
    }
    return rc;
}

// The five special tokens must be in the file; extra ones that are not get the ids behind it.
static status find_specials(wordpiece *w, const char *name) {
    for (int i = 0, next = w->in_file; i < w->rules.specials; i++) {
        w->id[i] = table_find(w, &w->whole, w->rules.special[i], w->rules.length[i]);
        if (w->id[i] >= 0) continue;
        if (i < WORDPIECE_SPECIALS)
            return status_fail(STATUS_FORMAT,
                               "%s: no %s in its %d lines; a BERT vocabulary has [UNK], [SEP], "
                               "[PAD], [CLS] and [MASK]",
                               name, w->rules.special[i], w->in_file);
        w->id[i] = next++;
        w->count = next;
    }
    return STATUS_OK;
}

// The rules' extra tokens as texts of our own.
static status keep_extras(wordpiece *w) {
    size_t bytes = 0, at = 0;
    for (int i = WORDPIECE_SPECIALS; i < w->rules.specials; i++) bytes += w->rules.length[i] + 1;
    status rc = mem_new(&w->extra, bytes + 1, "a vocabulary");
    for (int i = WORDPIECE_SPECIALS; i < w->rules.specials && !rc; i++) {
        memcpy(w->extra + at, w->rules.special[i], w->rules.length[i] + 1);
        w->rules.special[i] = w->extra + at;
        at += w->rules.length[i] + 1;
    }
    return rc;
}

status wordpiece_open_memory(wordpiece **out, const char *name, const char *text, size_t size,
                             const wordpiece_options *options) {
    static const wordpiece_options plain = {0};
    wordpiece *w = NULL;
    const wordpiece_options *o = options ? options : &plain;
    *out = NULL;
    status rc = mem_new(&w, 1, "a vocabulary");
    if (!rc) rc = wordpiece_rules_init(&w->rules, o->cased, o->extra, o->extras);
    if (!rc) rc = keep_extras(w);
    if (!rc) rc = read_lines(w, name, text, size);
    if (!rc) rc = make_tables(w, name);
    if (!rc) rc = find_specials(w, name);
    if (rc)
        wordpiece_close(w);
    else
        *out = w;
    return rc;
}

status wordpiece_open(wordpiece **out, const char *path, const wordpiece_options *options) {
    buffer text = {0};
    *out = NULL;
    status rc = file_read(path, FILE_MAX, &text);
    if (!rc) rc = wordpiece_open_memory(out, path, text.data, text.length, options);
    buffer_free(&text);
    return rc;
}

void wordpiece_close(wordpiece *w) {
    if (!w) return;
    mem_free(w->text);
    mem_free(w->begin);
    mem_free(w->whole.slot);
    mem_free(w->tail.slot);
    mem_free(w->extra);
    mem_free(w);
}

// --- asking --------------------------------------------------------------------------------------
int32_t wordpiece_count(const wordpiece *w) {
    return w->count;
}

int32_t wordpiece_special_id(const wordpiece *w, wordpiece_special special) {
    return w->id[special];
}

int32_t wordpiece_id(const wordpiece *w, const char *token) {
    for (int i = 0; i < w->rules.specials; i++)
        if (!strcmp(w->rules.special[i], token)) return w->id[i];
    return table_find(w, &w->whole, token, strlen(token));
}

// The index of the special token with that id, -1: none.
static int special_of(const wordpiece *w, int32_t id) {
    for (int i = 0; i < w->rules.specials; i++)
        if (w->id[i] == id) return i;
    return -1;
}

bool wordpiece_is_special(const wordpiece *w, int32_t id) {
    return special_of(w, id) >= 0;
}

bool wordpiece_is_added(const wordpiece *w, int32_t id) {
    return id >= w->in_file && id < w->count;
}

const char *wordpiece_token(const wordpiece *w, int32_t id) {
    if (id < 0 || id >= w->count) return wordpiece_special_names[WORDPIECE_UNK];
    return id < w->in_file ? w->text + w->begin[id] : w->rules.special[special_of(w, id)];
}

// --- text to ids ---------------------------------------------------------------------------------
typedef struct encoder {
    wordpiece_ids *out;
    const wordpiece *w;
    size_t most; // ids that fit
    status failed;
} encoder;

// False when full: the text goes on, but nothing more is wanted.
static bool put_ids(encoder *e, const int32_t *id, size_t count) {
    wordpiece_ids *o = e->out;
    size_t fit = e->most - o->count;
    if (count > fit) {
        count = fit;
        o->truncated = true;
    }
    if (o->count + count > o->capacity)
        e->failed =
            mem_grow((void **)&o->id, &o->capacity, o->count + count, sizeof *o->id, "tokens");
    if (e->failed) return false;
    for (size_t i = 0; i < count; i++) o->id[o->count++] = id[i];
    return !o->truncated;
}

// The longest token of T that KEY begins with, -1: none. *TAKEN: its bytes.
static int32_t longest_prefix(size_t *taken, const wordpiece *w, const token_table *t,
                              const char *key, size_t length) {
    uint64_t hash[WORDPIECE_WORD_BYTES + 1];
    if (length > t->longest) length = t->longest;
    hash[0] = hash_start;
    for (size_t i = 0; i < length; i++) hash[i + 1] = hash_bytes(hash[i], key + i, 1);
    // A token ends where a character ends, so a prefix that does not is found in no slot.
    for (size_t end = length; end > 0; end--) {
        int32_t id = *table_slot(w, t, hash[end], key, end) - 1;
        if (id < 0) continue;
        *taken = end;
        return id;
    }
    return -1;
}

static bool encode_word(void *context, const char *bytes, size_t length, int special) {
    encoder *e = context;
    const wordpiece *w = e->w;
    int32_t id[WORDPIECE_WORD_BYTES];
    size_t count = 0, taken = 0;
    if (special >= 0) return put_ids(e, &w->id[special], 1);
    bool bad = !bytes;
    for (size_t at = 0; at < length && !bad; at += taken) {
        id[count] = longest_prefix(&taken, w, at ? &w->tail : &w->whole, bytes + at, length - at);
        bad = id[count++] < 0;
    }
    return bad ? put_ids(e, &w->id[WORDPIECE_UNK], 1) : put_ids(e, id, count);
}

static status encode_text(wordpiece_ids *out, const wordpiece *w, const char *text, size_t length,
                          size_t most) {
    encoder e = {.out = out, .w = w, .most = most};
    status rc = out->work ? STATUS_OK : mem_new(&out->work, 1, "tokens");
    if (!rc) rc = wordpiece_split(out->work, &w->rules, text, length, encode_word, &e);
    return rc ? rc : e.failed;
}

static void clear_ids(wordpiece_ids *out) {
    out->count = 0;
    out->truncated = false;
}

status wordpiece_encode(wordpiece_ids *out, const wordpiece *w, const char *text, size_t length,
                        size_t most) {
    if (most == 1) die("wordpiece_encode: room for one id; two are always there");
    encoder ends = {.out = out, .w = w, .most = SIZE_MAX};
    clear_ids(out);
    put_ids(&ends, &w->id[WORDPIECE_CLS], 1);
    status rc = ends.failed;
    if (!rc) rc = encode_text(out, w, text, length, most ? most - 1 : SIZE_MAX);
    bool truncated = out->truncated;
    out->truncated = false;
    if (!rc) put_ids(&ends, &w->id[WORDPIECE_SEP], 1);
    out->truncated = truncated;
    return rc ? rc : ends.failed;
}

status wordpiece_tokens(wordpiece_ids *out, const wordpiece *w, const char *text, size_t length) {
    clear_ids(out);
    return encode_text(out, w, text, length, SIZE_MAX);
}

void wordpiece_ids_free(wordpiece_ids *ids) {
    wordpiece_work_free(ids->work);
    mem_free(ids->work);
    mem_free(ids->id);
    *ids = (wordpiece_ids){0};
}
