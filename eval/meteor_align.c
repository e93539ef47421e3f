// Which words of a text match which of its reference: a beam search along the reference for many
// matches in few chunks. See meteor_private.h.
//
// The search of METEOR 1.5 is followed in all that decides which alignment it ends with, its
// oddities included: a match that is not exact adds half its words rounded down, and the distance
// of a match is added to the paths behind it in the queue instead of its own.
#include "eval/meteor_private.h"

#include <stdlib.h>
#include <string.h>

enum { BEAM = 40 };

// A path's choice, linked to the one before it.
typedef struct choice {
    int32_t match, before; // before: -1: none
} choice;

// An alignment of the reference up to the word NEXT.
typedef struct path {
    int32_t matched, chunks, distance, next;
    int32_t text_end; // behind the latest match; -1: a gap
    int32_t choice;   // the latest; -1: none
    int32_t order;    // in the queue
    int32_t used;     // which row of the used words is its own
} path;

// Paths and the text's words that each has used, as bits.
typedef struct queue {
    path *path; // (count)
    size_t count, room;
    uint64_t *used; // (count, width)
    size_t used_room;
} queue;

struct meteor_aligner {
    meteor_match *found, *match; // (matches): as found; by the reference's word they begin with
    size_t matches, found_room, match_room;
    int32_t *first; // (reference words + 1): of the matches from each word on
    size_t first_room;
    int32_t
        *covers[2]; // by how many matches is each word of the text and of the reference covered?
    size_t covers_room[2];
    // Where each word stands first in the text and in the reference, from 1 on, and where that word
    // stands next. For paraphrases.
    int32_t *place[2], *next[2]; // (all words), (words of the text)
    size_t place_room[2], next_room[2];
    int32_t *fixed; // (reference words): the match from here on that is certain; -1: none
    bool *taken;    // (reference words): by a match that is certain
    size_t fixed_room, taken_room;
    queue now, later;
    size_t width; // 64-bit words of a row of bits
    choice *choice;
    size_t choices, choice_room;
};

status meteor_aligner_open(meteor_aligner **out) {
    return mem_new(out, 1, "an aligner of words");
}

void meteor_aligner_close(meteor_aligner *a) {
    if (!a) return;
    mem_free(a->found);
    mem_free(a->match);
    mem_free(a->first);
    for (int side = 0; side < 2; side++) {
        mem_free(a->covers[side]);
        mem_free(a->place[side]);
        mem_free(a->next[side]);
    }
    mem_free(a->fixed);
    mem_free(a->taken);
    mem_free(a->now.path);
    mem_free(a->now.used);
    mem_free(a->later.path);
    mem_free(a->later.used);
    mem_free(a->choice);
    mem_free(a);
}

#define GROW(block, room, count)                                                                   \
    mem_grow((void **)&(block), &(room), (size_t)(count), sizeof *(block), "an alignment")

// --- matches -------------------------------------------------------------------------------------

static status add_match(meteor_aligner *a, meteor_match m) {
    status rc = GROW(a->found, a->found_room, a->matches + 1);
    if (rc) return rc;
    a->found[a->matches++] = m;
    for (int32_t i = 0; i < m.text_length; i++) a->covers[0][m.text_start + i]++;
    for (int32_t i = 0; i < m.length; i++) a->covers[1][m.start + i]++;
    return STATUS_OK;
}

static bool words_match(const meteor_facts *facts, meteor_stage stage, int32_t x, int32_t y) {
    if (stage == METEOR_EXACT) return x == y;
    if (stage == METEOR_STEM) return x != y && facts->stem[x] == facts->stem[y];
    return x != y && meteor_synonyms_share(facts->synonyms, x, y);
}

// Words that match words.
static status find_words(meteor_aligner *a, const meteor_facts *facts, meteor_stage stage,
                         meteor_text text, meteor_text reference) {
    for (int32_t i = 0; i < reference.count; i++)
        for (int32_t j = 0; j < text.count; j++)
            if (words_match(facts, stage, text.word[j], reference.word[i])) {
                status rc = add_match(a, (meteor_match){i, 1, j, 1, stage});
                if (rc) return rc;
            }
    return STATUS_OK;
}

static status index_words(meteor_aligner *a, int side, meteor_text t, int32_t words_in_all) {
    status rc = GROW(a->place[side], a->place_room[side], words_in_all);
    if (!rc) rc = GROW(a->next[side], a->next_room[side], t.count + 1);
    for (int64_t i = t.count - 1; i >= 0 && !rc; i--) {
        a->next[side][i] = a->place[side][t.word[i]];
        a->place[side][t.word[i]] = (int32_t)i + 1;
    }
    return rc;
}

// The index is left as it was found: empty.
static void forget_words(meteor_aligner *a, int side, meteor_text t) {
    for (int64_t i = 0; i < t.count; i++) a->place[side][t.word[i]] = 0;
}

// Where the other phrase of X, whose phrase stands at AT, stands on the other side.
static status add_paraphrases(meteor_aligner *a, const meteor_paraphrases *p,
                              const meteor_paraphrase *x, int32_t at, int other,
                              meteor_text others) {
    const int32_t *word = p->pool + x->other;
    for (int32_t j = a->place[other][*word]; j; j = a->next[other][j - 1]) {
        const int32_t start = j - 1;
        if (start + x->other_length > others.count ||
            memcmp(others.word + start, word, (size_t)x->other_length * sizeof *word) != 0)
            continue;
        const meteor_match m =
            other == 0 ? (meteor_match){at, x->length, start, x->other_length, METEOR_PARAPHRASE}
                       : (meteor_match){start, x->other_length, at, x->length, METEOR_PARAPHRASE};
        status rc = add_match(a, m);
        if (rc) return rc;
    }
    return STATUS_OK;
}

// Phrases of HERE whose paraphrases stand on the side OTHER, OTHERS: 0 the text, 1 the reference.
static status find_phrases(meteor_aligner *a, const meteor_paraphrases *p, meteor_text here,
                           int other, meteor_text others) {
    status rc = STATUS_OK;
    for (int32_t i = 0; i < here.count; i++)
        for (int32_t n = 1; n <= p->longest && i + n <= here.count; n++) {
            const meteor_paraphrase *list;
            const int64_t count = meteor_paraphrases_find(&list, p, here.word + i, n);
            for (int64_t k = 0; k < count && !rc; k++)
                rc = add_paraphrases(a, p, &list[k], i, other, others);
            if (rc) return rc;
        }
    return STATUS_OK;
}

static status find_paraphrases(meteor_aligner *a, const meteor_facts *facts, meteor_text text,
                               meteor_text reference) {
    status rc = index_words(a, 0, text, facts->words);
    if (!rc) rc = index_words(a, 1, reference, facts->words);
    if (!rc) rc = find_phrases(a, facts->paraphrases, reference, 0, text);
    if (!rc) rc = find_phrases(a, facts->paraphrases, text, 1, reference);
    if (rc) return rc;
    forget_words(a, 0, text);
    forget_words(a, 1, reference);
    return STATUS_OK;
}

// Sorts matches by the reference's word they begin with; those of a word stay in their order.
static status sort_matches(meteor_aligner *a, int64_t reference_words) {
    status rc = GROW(a->match, a->match_room, a->matches + 1);
    if (rc) return rc;
    for (int64_t i = 0; i <= reference_words; i++) a->first[i] = 0;
    for (size_t i = 0; i < a->matches; i++) a->first[a->found[i].start + 1]++;
    for (int64_t i = 0; i < reference_words; i++) a->first[i + 1] += a->first[i];
    for (size_t i = 0; i < a->matches; i++) a->match[a->first[a->found[i].start]++] = a->found[i];
    for (int64_t i = reference_words; i > 0; i--) a->first[i] = a->first[i - 1];
    a->first[0] = 0;
    return STATUS_OK;
}

// All matches. A text that is its reference has exact ones only.
static status find_matches(meteor_aligner *a, const meteor_facts *facts, meteor_text text,
                           meteor_text reference) {
    const bool same = text.count == reference.count &&
                      (!text.count || memcmp(text.word, reference.word,
                                             (size_t)text.count * sizeof(int32_t)) == 0);
    a->matches = 0;
    memset(a->covers[0], 0, (size_t)text.count * sizeof(int32_t));
    memset(a->covers[1], 0, (size_t)reference.count * sizeof(int32_t));
    status rc = find_words(a, facts, METEOR_EXACT, text, reference);
    if (!rc && !same) rc = find_words(a, facts, METEOR_STEM, text, reference);
    if (!rc && !same && facts->synonyms) rc = find_words(a, facts, METEOR_SYNONYM, text, reference);
    if (!rc && !same && facts->paraphrases) rc = find_paraphrases(a, facts, text, reference);
    return rc ? rc : sort_matches(a, reference.count);
}

// Matches that have all their words for themselves are certain.
static void fix_matches(meteor_aligner *a, int64_t reference_words) {
    for (int64_t i = 0; i < reference_words; i++) a->taken[i] = false;
    for (int64_t i = 0; i < reference_words; i++) {
        bool alone = a->first[i + 1] - a->first[i] == 1;
        const meteor_match *m = &a->match[a->first[i]];
        for (int32_t k = 0; alone && k < m->length; k++) alone = a->covers[1][m->start + k] == 1;
        for (int32_t k = 0; alone && k < m->text_length; k++)
            alone = a->covers[0][m->text_start + k] == 1;
        a->fixed[i] = alone ? a->first[i] : -1;
        for (int32_t k = 0; alone && k < m->length; k++) a->taken[i + k] = true;
    }
}

// --- paths ---------------------------------------------------------------------------------------

static uint64_t *used_of(const meteor_aligner *a, const queue *q, const path *p) {
    return q->used + (size_t)p->used * a->width;
}

static bool is_used(const uint64_t *used, int32_t word) {
    return used[word / 64] >> (word % 64) & 1;
}

static void use(uint64_t *used, int32_t word) {
    used[word / 64] |= (uint64_t)1 << (word % 64);
}

// More matches, then fewer chunks, then less distance, then who came first.
static int compare_paths(const void *a, const void *b) {
    const path *x = a, *y = b;
    if (x->matched != y->matched) return x->matched > y->matched ? -1 : 1;
    if (x->chunks != y->chunks) return x->chunks < y->chunks ? -1 : 1;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static void sort_paths(queue *q) {
    for (size_t i = 0; i < q->count; i++) q->path[i].order = (int32_t)i;
    if (q->count > 1) qsort(q->path, q->count, sizeof *q->path, compare_paths);
}

// Appends P of A->now to A->later, with its used words.
static status push(meteor_aligner *a, path p) {
    queue *q = &a->later;
    status rc = GROW(q->path, q->room, q->count + 1);
    if (!rc) rc = GROW(q->used, q->used_room, (q->count + 1) * a->width);
    if (rc) return rc;
    const uint64_t *used = used_of(a, &a->now, &p);
    p.used = (int32_t)q->count;
    q->path[q->count++] = p;
    memcpy(used_of(a, q, &p), used, a->width * sizeof *used);
    return STATUS_OK;
}

static void close_chunk(path *p) {
    p->chunks += p->text_end != -1;
    p->text_end = -1;
}

static int32_t gain(int32_t length, meteor_stage stage) {
    return stage == METEOR_EXACT ? length : length / 2;
}

// The path goes on behind M; its distance is the caller's.
static void follow(path *p, const meteor_match *m) {
    p->matched += gain(m->text_length, m->stage) + gain(m->length, m->stage);
    p->chunks += p->text_end != -1 && m->text_start != p->text_end;
    p->next = m->start + m->length;
    p->text_end = m->text_start + m->text_length;
}

static bool is_free(const meteor_aligner *a, const path *p, const meteor_match *m) {
    const uint64_t *used = used_of(a, &a->now, p);
    for (int32_t k = 0; k < m->length; k++)
        if (a->taken[m->start + k]) return false;
    for (int32_t k = 0; k < m->text_length; k++)
        if (is_used(used, m->text_start + k)) return false;
    return true;
}

static status choose(meteor_aligner *a, path p, int32_t match) {
    const meteor_match *m = &a->match[match];
    status rc = GROW(a->choice, a->choice_room, a->choices + 1);
    if (rc) return rc;
    a->choice[a->choices] = (choice){match, p.choice};
    p.choice = (int32_t)a->choices++;
    follow(&p, m);
    rc = push(a, p);
    queue *q = &a->later;
    for (int32_t k = 0; k < m->text_length && !rc; k++)
        use(used_of(a, q, &q->path[q->count - 1]), m->text_start + k);
    return rc;
}

// All that the path P can do at the reference's word AT.
static status advance(meteor_aligner *a, path p, int32_t at) {
    if (at < p.next) return push(a, p);
    if (a->taken[at]) {
        if (a->fixed[at] < 0) return STATUS_OK;
        const meteor_match *m = &a->match[a->fixed[at]];
        p.distance += abs(m->start - m->text_start);
        follow(&p, m);
        return push(a, p);
    }
    for (int32_t i = a->first[at]; i < a->first[at + 1]; i++) {
        const meteor_match *m = &a->match[i];
        if (!is_free(a, &p, m)) continue;
        status rc = choose(a, p, i);
        if (rc) return rc;
        p.distance += abs(m->start - m->text_start);
    }
    close_chunk(&p);
    p.next = at + 1;
    return push(a, p);
}

// The text's words that certain matches have are used from the start.
static status start(meteor_aligner *a, int64_t reference_words) {
    a->choices = a->later.count = 0;
    a->now.count = 1;
    status rc = GROW(a->now.path, a->now.room, 1);
    if (!rc) rc = GROW(a->now.used, a->now.used_room, a->width);
    if (rc) return rc;
    a->now.path[0] = (path){.text_end = -1, .choice = -1};
    memset(a->now.used, 0, a->width * sizeof *a->now.used);
    for (int64_t i = 0; i < reference_words; i++)
        if (a->fixed[i] >= 0) {
            const meteor_match *m = &a->match[a->fixed[i]];
            for (int32_t k = 0; k < m->text_length; k++) use(a->now.used, m->text_start + k);
        }
    return STATUS_OK;
}

// Leaves the best path first in A->now.
static status search(meteor_aligner *a, int64_t reference_words) {
    status rc = start(a, reference_words);
    for (int32_t at = 0; at < reference_words && !rc; at++) {
        sort_paths(&a->now);
        a->later.count = 0;
        for (size_t i = 0; i < a->now.count && i < BEAM && !rc; i++)
            rc = advance(a, a->now.path[i], at);
        if (rc || !a->later.count) continue; // nobody could go on: all wait for the next word
        const queue old = a->now;
        a->now = a->later;
        a->later = old;
    }
    if (rc) return rc;
    // The beam holds to the end; then open chunks are closed and the order is made anew.
    sort_paths(&a->now);
    if (a->now.count > BEAM) a->now.count = BEAM;
    for (size_t i = 0; i < a->now.count; i++) close_chunk(&a->now.path[i]);
    sort_paths(&a->now);
    return STATUS_OK;
}

// --- counts --------------------------------------------------------------------------------------

static void count_words(meteor_counts *out, int side, meteor_text text, const meteor_facts *facts) {
    out->words[side] = text.count;
    for (int64_t i = 0; i < text.count; i++)
        out->function_words[side] += facts->function[text.word[i]];
}

static void count_matches(meteor_counts *out, meteor_stage stage, int side, const int32_t *word,
                          int32_t count, const meteor_facts *facts) {
    for (int32_t k = 0; k < count; k++) {
        if (facts->function[word[k]])
            out->function_matches[stage][side]++;
        else
            out->content_matches[stage][side]++;
    }
}

// A match of the alignment, whose text ends so far at *END (-1: a gap).
static void count_match(meteor_counts *out, const meteor_match *m, int32_t *end,
                        const meteor_facts *facts, meteor_text text, meteor_text reference) {
    count_matches(out, m->stage, 0, text.word + m->text_start, m->text_length, facts);
    count_matches(out, m->stage, 1, reference.word + m->start, m->length, facts);
    out->chunks += *end != m->text_start;
    *end = m->text_start + m->text_length;
}

// All words of both sides are matched, in one chunk.
static bool is_whole(const meteor_counts *x) {
    for (int side = 0; side < 2; side++) {
        int64_t matched = 0;
        for (meteor_stage s = 0; s < METEOR_STAGES; s++)
            matched += x->content_matches[s][side] + x->function_matches[s][side];
        if (matched != x->words[side]) return false;
    }
    return x->chunks == 1;
}

// A->fixed becomes the whole alignment.
static void put_choices(meteor_aligner *a) {
    for (int32_t c = a->now.path[0].choice; c >= 0; c = a->choice[c].before)
        a->fixed[a->match[a->choice[c].match].start] = a->choice[c].match;
}

static status make_room(meteor_aligner *a, int64_t text_words, int64_t reference_words) {
    a->width = (size_t)text_words / 64 + 1;
    status rc = GROW(a->first, a->first_room, reference_words + 1);
    if (!rc) rc = GROW(a->covers[0], a->covers_room[0], text_words + 1);
    if (!rc) rc = GROW(a->covers[1], a->covers_room[1], reference_words + 1);
    if (!rc) rc = GROW(a->fixed, a->fixed_room, reference_words + 1);
    if (!rc) rc = GROW(a->taken, a->taken_room, reference_words + 1);
    return rc;
}

status meteor_align(meteor_counts *out, meteor_aligner *a, const meteor_facts *facts,
                    meteor_text text, meteor_text reference) {
    int32_t end = -1;
    *out = (meteor_counts){0};
    status rc = make_room(a, text.count, reference.count);
    if (!rc) rc = find_matches(a, facts, text, reference);
    if (rc) return rc;
    fix_matches(a, reference.count);
    rc = search(a, reference.count);
    if (rc) return rc;
    put_choices(a);
    count_words(out, 0, text, facts);
    count_words(out, 1, reference, facts);
    for (int64_t i = 0; i < reference.count;) {
        const meteor_match *m = a->fixed[i] >= 0 ? &a->match[a->fixed[i]] : NULL;
        if (m)
            count_match(out, m, &end, facts, text, reference);
        else
            end = -1;
        i += m ? m->length : 1;
    }
    if (is_whole(out)) out->chunks = 0;
    return STATUS_OK;
}
