// Tokenised texts. See texts.h.
//
// Texts are read in blocks of neighbours, which the threads take as they come; what a block becomes
// depends on its texts alone. The cleaned texts are kept until equal ones have been found, then
// only ids stay.
#include "data/texts.h"
#include "core/hash.h"
#include "core/memory.h"
#include "data/sections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256, ERROR_SIZE = 1024 };

struct text_set {
    int32_t *slot;   // (records): place of a record among the texts, -1: none; NULL: its own number
    int64_t records; // numbers that a record may have
    int64_t count;
    int64_t *begin;         // (count + 1): where each text's ids begin
    int32_t *id;            // (begin[count])
    int32_t *group, *study; // (count)
    int32_t groups, studies;
    int64_t truncated;
    int longest;
};

// --- tokenising ---------------------------------------------------------------------------------

// Where texts come from: a dataset's records or a list.
typedef struct source {
    const dataset *set;
    const int64_t *records;
    record_text kind;
    const char *const *text; // NULL: from the dataset
} source;

// Texts BLOCK * b and on.
typedef struct block {
    int32_t *id;
    size_t count, capacity;
    buffer text; // cleaned, behind each other
    int64_t truncated;
} block;

// What one text is told apart by. The bytes may lie in a block, which has moved when it grew: AT is
// their place there until all is read.
typedef struct key {
    uint64_t hash;
    const char *text;
    size_t at, length;
    uint32_t place;
} key;

typedef struct reading {
    text_set *t;
    source from;
    const wordpiece *w;
    text_options o;
    block *blocks; // (blocks of count)
    key *keys;     // (count)
    status failed;
    int64_t failed_block; // the first one that failed
    char error[ERROR_SIZE];
} reading;

static int64_t count_blocks(int64_t count) {
    return (count + BLOCK - 1) / BLOCK;
}

static status read_text(buffer *raw, const source *from, int64_t i) {
    if (!from->text) return dataset_text(raw, from->set, from->records[i], from->kind);
    raw->length = 0;
    buffer_text(raw, from->text[i]);
    return raw->failed;
}

static status clean_text(buffer *out, const char *text, text_rule rule) {
    out->length = 0;
    buffer_text(out, "");
    if (rule == TEXT_CAPTION)
        findings_clean(out, text);
    else
        report_clean(out, text);
    return out->failed;
}

typedef struct scratch { // of a thread
    buffer raw, clean;
    wordpiece_ids ids;
} scratch;

static status add_text(block *b, reading *r, scratch *s, int64_t i) {
    status rc = read_text(&s->raw, &r->from, i);
    if (!rc) rc = clean_text(&s->clean, s->raw.data, r->o.rule);
    size_t length = s->clean.length;
    if (!rc) rc = wordpiece_encode(&s->ids, r->w, s->clean.data, length, (size_t)r->o.most);
    size_t count = s->ids.count;
    if (!rc)
        rc = mem_grow((void **)&b->id, &b->capacity, b->count + count, sizeof *b->id, "tokens");
    if (rc) return rc;
    memcpy(b->id + b->count, s->ids.id, count * sizeof *b->id);
    r->keys[i] = (key){.hash = hash_bytes(hash_start, s->clean.data, length),
                       .at = b->text.length,
                       .length = length,
                       .place = (uint32_t)i};
    buffer_append(&b->text, s->clean.data, length);
    b->count += count;
    b->truncated += s->ids.truncated;
    r->t->begin[i + 1] = (int64_t)count; // summed up when all are known
    return b->text.failed;
}

static void read_block(reading *r, scratch *s, int64_t number) {
    block *b = &r->blocks[number];
    int64_t first = number * BLOCK, end = first + BLOCK;
    status rc = STATUS_OK;
    if (end > r->t->count) end = r->t->count;
    for (int64_t i = first; i < end && !rc; i++) rc = add_text(b, r, s, i);
    for (int64_t i = first; i < end && !rc; i++) r->keys[i].text = b->text.data + r->keys[i].at;
    if (!rc) return;
#pragma omp critical(read_texts)
    if (!r->failed || number < r->failed_block) {
        r->failed = rc;
        r->failed_block = number;
        snprintf(r->error, sizeof r->error, "%s", status_text());
    }
}

static status read_all(reading *r) {
    int64_t blocks = count_blocks(r->t->count);
#pragma omp parallel num_threads(r->o.threads)
    {
        scratch s = {0};
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < blocks; i++) read_block(r, &s, i);
        buffer_free(&s.raw);
        buffer_free(&s.clean);
        wordpiece_ids_free(&s.ids);
    }
    return r->failed ? status_carry(r->failed, r->error) : STATUS_OK;
}

// All ids behind each other. A block's go as soon as they are copied, so that hardly more than
// their number is ever there.
static status gather(reading *r) {
    text_set *t = r->t;
    int64_t at = 0;
    for (int64_t i = 0; i < t->count; i++) {
        if (t->begin[i + 1] > t->longest) t->longest = (int)t->begin[i + 1];
        t->begin[i + 1] += t->begin[i];
    }
    size_t bytes = (size_t)t->begin[t->count] * sizeof *t->id;
    status rc = mem_take_untouched((void **)&t->id, bytes, "tokens");
    for (int64_t k = 0; !rc && k < count_blocks(t->count); k++) {
        block *b = &r->blocks[k];
        memcpy(t->id + at, b->id, b->count * sizeof *b->id);
        at += (int64_t)b->count;
        t->truncated += b->truncated;
        mem_free(b->id);
        b->id = NULL;
    }
    return rc;
}

// --- equal texts, equal studies -----------------------------------------------------------------

static int compare_bytes(const key *a, const key *b) {
    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    if (a->length != b->length) return a->length < b->length ? -1 : 1;
    return memcmp(a->text, b->text, a->length);
}

static int compare_keys(const void *left, const void *right) {
    const key *a = left, *b = right;
    int order = compare_bytes(a, b);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

// Numbers the keys (count), which it sorts, by their bytes in the order of first places.
static int32_t number_groups(int32_t *group, key *keys, int64_t count, bool empty_is_alone) {
    int32_t groups = 0;
    qsort(keys, (size_t)count, sizeof *keys, compare_keys);
    // First the place of the first equal one, then its number.
    for (int64_t i = 0; i < count; i++) {
        bool equal = i && !compare_bytes(&keys[i - 1], &keys[i]);
        if (!keys[i].length && empty_is_alone) equal = false;
        group[keys[i].place] = equal ? group[keys[i - 1].place] : (int32_t)keys[i].place;
    }
    for (int64_t i = 0; i < count; i++) group[i] = group[i] == i ? groups++ : group[group[i]];
    return groups;
}

static void study_keys(reading *r) {
    for (int64_t i = 0; i < r->t->count; i++) {
        const char *id = r->from.text ? "" : dataset_id(r->from.set, r->from.records[i], ID_STUDY);
        size_t length = strlen(id);
        r->keys[i] = (key){hash_bytes(hash_start, id, length), id, 0, length, (uint32_t)i};
    }
}

// --- opening ------------------------------------------------------------------------------------

static status fill(reading *r) {
    text_set *t = r->t;
    int64_t count = t->count;
    status rc = mem_new(&t->begin, count + 1, "tokenised texts");
    if (!rc) rc = mem_new(&t->group, count, "tokenised texts");
    if (!rc) rc = mem_new(&t->study, count, "tokenised texts");
    if (!rc) rc = mem_new(&r->keys, count, "tokenised texts");
    if (!rc) rc = mem_new(&r->blocks, count_blocks(count), "tokenised texts");
    if (!rc) rc = read_all(r);
    if (!rc) rc = gather(r);
    if (!rc) {
        t->groups = number_groups(t->group, r->keys, count, false);
        study_keys(r);
        t->studies = number_groups(t->study, r->keys, count, true);
    }
    for (int64_t k = 0; r->blocks && k < count_blocks(count); k++) {
        mem_free(r->blocks[k].id);
        buffer_free(&r->blocks[k].text);
    }
    mem_free(r->blocks);
    mem_free(r->keys);
    return rc;
}

static status open_texts(text_set **out, const source *from, int64_t count, const wordpiece *w,
                         const text_options *o) {
    text_set *t = NULL;
    *out = NULL;
    if (o->most < 2 || o->threads < 1 || count < 0 || count > INT32_MAX)
        die("texts: %lld of at most %d ids, %d threads", (long long)count, o->most, o->threads);
    status rc = mem_new(&t, 1, "tokenised texts");
    if (rc) return rc;
    t->count = count;
    t->records = from->text ? count : dataset_records(from->set);
    if (!from->text) rc = mem_new(&t->slot, t->records, "tokenised texts");
    for (int64_t i = 0; t->slot && i < t->records; i++) t->slot[i] = -1;
    for (int64_t i = 0; t->slot && i < count; i++) {
        int64_t record = from->records[i];
        if (record < 0 || record >= t->records || t->slot[record] >= 0)
            die("texts: record %lld of %lld is none, or comes twice", (long long)record,
                (long long)t->records);
        t->slot[record] = (int32_t)i;
    }
    if (!rc) rc = fill(&(reading){.t = t, .from = *from, .w = w, .o = *o});
    if (rc)
        texts_close(t);
    else
        *out = t;
    return rc;
}

status texts_open(text_set **out, const dataset *set, const int64_t *records, int64_t count,
                  record_text kind, const wordpiece *w, const text_options *options) {
    source from = {.set = set, .records = records, .kind = kind};
    return open_texts(out, &from, count, w, options);
}

status texts_open_list(text_set **out, const char *const *text, int64_t count, const wordpiece *w,
                       const text_options *options) {
    static const char *const none[1];
    return open_texts(out, &(source){.text = text ? text : none}, count, w, options);
}

void texts_close(text_set *t) {
    if (!t) return;
    mem_free(t->slot);
    mem_free(t->begin);
    mem_free(t->id);
    mem_free(t->group);
    mem_free(t->study);
    mem_free(t);
}

// --- asking -------------------------------------------------------------------------------------

static int64_t place_of(const text_set *t, int64_t record) {
    int64_t place = record < 0 || record >= t->records ? -1 : t->slot ? t->slot[record] : record;
    if (place < 0) die("texts: record %lld is not one of them", (long long)record);
    return place;
}

int64_t texts_count(const text_set *t) {
    return t->count;
}

int64_t texts_truncated(const text_set *t) {
    return t->truncated;
}

int texts_longest(const text_set *t) {
    return t->longest;
}

int64_t texts_total(const text_set *t) {
    return t->begin[t->count];
}

const int32_t *texts_of(const text_set *t, int64_t record, int *count) {
    int64_t place = place_of(t, record);
    *count = (int)(t->begin[place + 1] - t->begin[place]);
    return t->id + t->begin[place];
}

int32_t texts_group(const text_set *t, int64_t record) {
    return t->group[place_of(t, record)];
}

int32_t texts_study(const text_set *t, int64_t record) {
    return t->study[place_of(t, record)];
}

int32_t texts_groups(const text_set *t) {
    return t->groups;
}

int32_t texts_studies(const text_set *t) {
    return t->studies;
}

int64_t texts_pack(int32_t *id, int32_t *first, const text_set *t, const int64_t *record,
                   int64_t n) {
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) {
        int count;
        const int32_t *from = texts_of(t, record[i], &count);
        if (total + count > INT32_MAX) die("texts: a batch of more than %d tokens", INT32_MAX);
        first[i] = (int32_t)total;
        memcpy(id + total, from, (size_t)count * sizeof *id);
        total += count;
    }
    first[n] = (int32_t)total;
    return total;
}
