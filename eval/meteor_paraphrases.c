// METEOR's table of paraphrases: three lines for each, of which the first is a probability that
// nobody asks for. See meteor_private.h.
#include "core/checksum.h"
#include "core/files/deflate.h"
#include "core/files/file_map.h"
#include "core/files/little_endian.h"
#include "eval/meteor_private.h"

#include <stdlib.h>
#include <string.h>

// --- gzip ----------------------------------------------------------------------------------------

enum { GZIP_LEAST = 18, GZIP_CRC = 2, GZIP_EXTRA = 4, GZIP_NAME = 8, GZIP_COMMENT = 16 };

static bool is_gzip(const file_map *map) {
    return map->size >= 2 && map->data[0] == 0x1f && map->data[1] == 0x8b;
}

// Behind the NUL at or behind AT.
static size_t behind_nul(const file_map *map, size_t at) {
    while (at < map->size && map->data[at]) at++;
    return at + 1;
}

// Where the packed bytes begin (RFC 1952); beyond the file where that is cut short.
static size_t gzip_start(const file_map *map) {
    const int flags = map->data[3];
    size_t at = 10;
    if (flags & GZIP_EXTRA) at += at + 2 <= map->size ? 2u + le16(map->data + at) : map->size;
    if (flags & GZIP_NAME) at = behind_nul(map, at);
    if (flags & GZIP_COMMENT) at = behind_nul(map, at);
    return at + (flags & GZIP_CRC ? 2 : 0);
}

// The content of a gzip file of one member in OUT (*SIZE bytes).
static status gzip_read(char **out, size_t *size, const file_map *map, const char *path) {
    const size_t most_ratio = 1032; // deflate packs no tighter
    deflater *d;
    *out = NULL;
    if (map->size < GZIP_LEAST || map->data[2] != 8 || gzip_start(map) + 8 > map->size)
        return status_fail(STATUS_FORMAT, "%s is cut short or no gzip file of deflate", path);
    const size_t start = gzip_start(map), packed = map->size - 8 - start;
    const uint32_t crc = le32(map->data + map->size - 8);
    *size = le32(map->data + map->size - 4);
    if (*size / most_ratio > packed)
        return status_fail(STATUS_FORMAT, "%s: %zu packed bytes cannot hold %zu", path, packed,
                           *size);
    status rc = deflater_open(&d, 1);
    if (rc) return rc;
    rc = mem_new(out, *size + 1, "a table of paraphrases");
    if (!rc) {
        rc = deflate_expand(d, *out, map->data + start, *size, packed);
        if (rc == STATUS_FORMAT)
            rc = status_fail(rc, "%s is damaged, or holds several members", path);
    }
    if (!rc && checksum_crc32(0, *out, *size) != crc)
        rc = status_fail(STATUS_FORMAT, "%s is damaged: its checksum is wrong", path);
    deflater_close(d);
    if (!rc) return rc;
    mem_free(*out);
    *out = NULL;
    return rc;
}

// --- table ---------------------------------------------------------------------------------------

typedef struct phrase_line {
    const char *text, *end;
} phrase_line;

// The line at *AT, which moves behind it; false at END.
static bool next_line(phrase_line *out, const char **at, const char *end) {
    if (*at == end) return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    *out = (phrase_line){*at, stop ? stop : end};
    *at = stop ? stop + 1 : end;
    return true;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\f';
}

// Appends the numbers of a line's words to the pool: *LENGTH of them; -1: one of them is no word of
// W.
static status add_phrase(meteor_paraphrases *p, int32_t *length, phrase_line l, const words *w) {
    const size_t start = p->pooled;
    *length = 0;
    for (const char *at = l.text; at < l.end;) {
        const char *word = at;
        while (at < l.end && !is_blank(*at)) at++;
        const int32_t id = at > word ? words_find(w, word, (size_t)(at - word)) : 0;
        if (at > word && id < 0) {
            p->pooled = start;
            *length = -1;
            return STATUS_OK;
        }
        if (at > word) {
            status rc = mem_grow((void **)&p->pool, &p->pool_room, p->pooled + 1, sizeof *p->pool,
                                 "paraphrases");
            if (rc) return rc;
            p->pool[p->pooled++] = id;
            ++*length;
        }
        while (at < l.end && is_blank(*at)) at++;
    }
    return STATUS_OK;
}

static status add_paraphrase(meteor_paraphrases *p, phrase_line phrase, phrase_line other,
                             int64_t order, const words *w) {
    const size_t start = p->pooled;
    meteor_paraphrase x = {.phrase = start, .order = order};
    status rc = add_phrase(p, &x.length, phrase, w);
    x.other = p->pooled;
    if (!rc && x.length > 0) rc = add_phrase(p, &x.other_length, other, w);
    if (rc) return rc;
    if (x.length <= 0 || x.other_length <= 0) {
        p->pooled = start;
        return STATUS_OK;
    }
    rc = mem_grow((void **)&p->list, &p->room, p->count + 1, sizeof *p->list, "paraphrases");
    if (!rc) p->list[p->count++] = x;
    if (x.length > p->longest) p->longest = x.length;
    return rc;
}

static status read_lines(meteor_paraphrases *p, const char *text, size_t size, const char *path,
                         const words *w) {
    phrase_line probability, phrase, other;
    const char *at = text, *end = text + size;
    for (int64_t order = 0; next_line(&probability, &at, end); order++) {
        if (!next_line(&phrase, &at, end) || !next_line(&other, &at, end))
            return status_fail(STATUS_FORMAT,
                               "%s: the paraphrase at line %lld has less than three lines", path,
                               (long long)(3 * order + 1));
        status rc = add_paraphrase(p, phrase, other, order, w);
        if (rc) return rc;
    }
    return STATUS_OK;
}

// --- order ---------------------------------------------------------------------------------------

// A phrase before those that go on from it.
static int compare_phrases(const int32_t *x, int32_t n, const int32_t *y, int32_t m) {
    for (int32_t i = 0; i < n && i < m; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return (n > m) - (n < m);
}

static int compare_paraphrases(const void *a, const void *b, void *pool) {
    const meteor_paraphrase *x = a, *y = b;
    const int32_t *words_of = pool;
    const int order =
        compare_phrases(words_of + x->phrase, x->length, words_of + y->phrase, y->length);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static status put_order(meteor_paraphrases *p, int32_t word_count) {
    status rc = mem_new(&p->first, word_count + 1, "paraphrases");
    if (rc) return rc;
    if (p->count) qsort_r(p->list, p->count, sizeof *p->list, compare_paraphrases, p->pool);
    size_t next = 0;
    for (int32_t word = 0; word <= word_count; word++) {
        while (next < p->count && p->pool[p->list[next].phrase] < word) next++;
        p->first[word] = (int64_t)next;
    }
    return STATUS_OK;
}

status meteor_paraphrases_open(meteor_paraphrases *out, const char *path, const words *w) {
    file_map map;
    char *expanded = NULL;
    *out = (meteor_paraphrases){0};
    status rc = file_map_open(&map, path);
    if (rc) return rc;
    size_t size = map.size;
    if (is_gzip(&map)) rc = gzip_read(&expanded, &size, &map, path);
    const char *text = expanded ? expanded : (const char *)map.data;
    if (!rc && size) rc = read_lines(out, text, size, path, w);
    if (!rc) rc = put_order(out, words_count(w));
    mem_free(expanded);
    file_map_close(&map);
    if (rc) meteor_paraphrases_close(out);
    return rc;
}

void meteor_paraphrases_close(meteor_paraphrases *p) {
    mem_free(p->list);
    mem_free(p->pool);
    mem_free(p->first);
    *p = (meteor_paraphrases){0};
}

// The first of [LOW, HIGH) whose phrase is not before WORD (LENGTH), or behind it with BEHIND.
static int64_t bound(const meteor_paraphrases *p, int64_t low, int64_t high, const int32_t *word,
                     int32_t length, bool behind) {
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const meteor_paraphrase *x = &p->list[middle];
        const int order = compare_phrases(p->pool + x->phrase, x->length, word, length);
        if (order < 0 || (behind && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int64_t meteor_paraphrases_find(const meteor_paraphrase **list, const meteor_paraphrases *p,
                                const int32_t *word, int32_t length) {
    const int64_t low = p->first[*word], high = p->first[*word + 1];
    const int64_t start = bound(p, low, high, word, length, false);
    *list = p->list + start;
    return bound(p, start, high, word, length, true) - start;
}
