// Ranks of hits among all candidates, in both directions of one matrix of similarities. See
// retrieval.h.
#include "eval/retrieval.h"

#include <math.h>
#include <stdlib.h>

const int retrieval_depths[RETRIEVAL_DEPTHS] = {1, 5, 10};

// --- groups --------------------------------------------------------------------------------------

static int compare_numbers(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// How many of SORTED (COUNT) are less than LIMIT, or as much with EQUAL.
static int64_t count_below(const int64_t *sorted, int64_t count, int64_t limit, bool equal) {
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sorted[middle] < limit || (equal && sorted[middle] == limit))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Counts each one's hits on the OTHER side.
static status side_open(retrieval_side *side, const retrieval_side *other, const char *name,
                        const char *other_name) {
    int64_t *sorted = NULL;
    status rc = mem_new(&side->hits, side->count, "retrieval");
    if (!rc) rc = mem_new(&side->best, side->count, "retrieval");
    if (!rc) rc = mem_new(&side->ahead, side->count, "retrieval");
    if (!rc) rc = mem_new(&sorted, other->count, "retrieval");
    if (rc) return rc;
    for (int64_t i = 0; i < other->count; i++) sorted[i] = other->group[i];
    qsort(sorted, (size_t)other->count, sizeof *sorted, compare_numbers);
    for (int64_t i = 0; i < side->count && !rc; i++) {
        side->best[i] = NAN;
        side->hits[i] = count_below(sorted, other->count, side->group[i], true) -
                        count_below(sorted, other->count, side->group[i], false);
        if (!side->hits[i])
            rc = status_fail(STATUS_FORMAT, "retrieval: %s %lld of group %lld has no %s to find",
                             name, (long long)i, (long long)side->group[i], other_name);
    }
    mem_free(sorted);
    return rc;
}

status retrieval_open(retrieval *r, const int64_t *image_group, int64_t images,
                      const int64_t *text_group, int64_t texts) {
    *r = (retrieval){.image = {.count = images, .group = image_group},
                     .text = {.count = texts, .group = text_group}};
    if (images <= 0 || texts <= 0)
        return status_fail(STATUS_FORMAT, "retrieval: nothing to measure: %lld images, %lld texts",
                           (long long)images, (long long)texts);
    status rc = side_open(&r->image, &r->text, "image", "text");
    if (!rc) rc = side_open(&r->text, &r->image, "text", "image");
    for (int64_t i = 0; i < images && !rc; i++) r->hits += r->image.hits[i];
    if (rc) retrieval_close(r);
    return rc;
}

void retrieval_close(retrieval *r) {
    retrieval_side *sides[] = {&r->image, &r->text};
    for (int i = 0; i < 2; i++) {
        mem_free(sides[i]->hits);
        mem_free(sides[i]->best);
        mem_free(sides[i]->ahead);
    }
    *r = (retrieval){0};
}

// --- tiles ---------------------------------------------------------------------------------------

static void check_tile(const retrieval *r, const retrieval_tile *t, const char *who) {
    if (t->first_image < 0 || t->images < 0 || t->first_image > r->image.count - t->images ||
        t->first_text < 0 || t->texts < 0 || t->first_text > r->text.count - t->texts ||
        t->stride < t->texts)
        die("%s: a tile of images %lld + %lld, texts %lld + %lld, stride %lld of (%lld, %lld)", who,
            (long long)t->first_image, (long long)t->images, (long long)t->first_text,
            (long long)t->texts, (long long)t->stride, (long long)r->image.count,
            (long long)r->text.count);
}

static void keep_best(float *best, float score) {
    if (score > *best || isnan(*best)) *best = score;
}

void retrieval_hits(retrieval *r, retrieval_tile t) {
    check_tile(r, &t, "retrieval_hits");
    for (int64_t i = 0; i < t.images; i++) {
        const int64_t image = t.first_image + i, group = r->image.group[image];
        for (int64_t j = 0; j < t.texts; j++) {
            if (r->text.group[t.first_text + j] != group) continue;
            keep_best(&r->image.best[image], t.score[i * t.stride + j]);
            keep_best(&r->text.best[t.first_text + j], t.score[i * t.stride + j]);
            r->hits_seen++;
        }
    }
}

void retrieval_compare(retrieval *r, retrieval_tile t) {
    check_tile(r, &t, "retrieval_compare");
    if (r->hits_seen != r->hits)
        die("retrieval_compare: %lld hits were shown, there are %lld", (long long)r->hits_seen,
            (long long)r->hits);
    const int64_t *text_group = r->text.group + t.first_text;
    const float *text_best = r->text.best + t.first_text;
    int64_t *text_ahead = r->text.ahead + t.first_text;
    for (int64_t i = 0; i < t.images; i++) {
        const float *score = t.score + i * t.stride, best = r->image.best[t.first_image + i];
        const int64_t group = r->image.group[t.first_image + i];
        int64_t ahead = 0;
        for (int64_t j = 0; j < t.texts; j++) {
            const bool wrong = text_group[j] != group; // "not less" counts equal scores and NaN
            ahead += wrong & !(score[j] < best);
            text_ahead[j] += wrong & !(score[j] < text_best[j]);
        }
        r->image.ahead[t.first_image + i] += ahead;
    }
    r->compared += t.images * t.texts;
}

// --- scores --------------------------------------------------------------------------------------

// A random order has none of HITS among its first DEPTH of COUNT with probability
//   (COUNT - HITS) / COUNT * (COUNT - HITS - 1) / (COUNT - 1) * ...   (DEPTH factors).
static double chance_of(int64_t count, int64_t hits, int depth) {
    double none = 1;
    for (int64_t i = 0; i < depth; i++) {
        if (count - hits <= i) return 1;
        none *= (double)(count - hits - i) / (double)(count - i);
    }
    return 1 - none;
}

static status side_measure(retrieval_score *out, const retrieval_side *side, int64_t candidates) {
    int64_t *rank;
    const int64_t n = side->count;
    *out = (retrieval_score){.queries = n, .candidates = candidates};
    status rc = mem_new(&rank, n, "ranks");
    if (rc) return rc;
    for (int64_t i = 0; i < n; i++) {
        const bool lost = isnan(side->best[i]);
        rank[i] = lost ? candidates + 1 : side->ahead[i] + 1;
        out->lost += lost;
        for (int k = 0; k < RETRIEVAL_DEPTHS; k++) {
            out->recall[k] += !lost && rank[i] <= retrieval_depths[k];
            out->chance[k] += chance_of(candidates, side->hits[i], retrieval_depths[k]);
        }
    }
    for (int k = 0; k < RETRIEVAL_DEPTHS; k++) {
        out->recall[k] /= (double)n;
        out->chance[k] /= (double)n;
    }
    qsort(rank, (size_t)n, sizeof *rank, compare_numbers);
    out->median_rank = 0.5 * (double)(rank[(n - 1) / 2] + rank[n / 2]);
    mem_free(rank);
    return STATUS_OK;
}

status retrieval_measure(retrieval_scores *out, const retrieval *r) {
    *out = (retrieval_scores){0};
    if (r->compared != r->image.count * r->text.count)
        die("retrieval_measure: %lld pairs were compared, there are (%lld, %lld)",
            (long long)r->compared, (long long)r->image.count, (long long)r->text.count);
    status rc = side_measure(&out->image_to_text, &r->image, r->text.count);
    return rc ? rc : side_measure(&out->text_to_image, &r->text, r->image.count);
}

status retrieval_of_matrix(retrieval_scores *out, const float *score, const int64_t *image_group,
                           int64_t images, const int64_t *text_group, int64_t texts) {
    retrieval r;
    const retrieval_tile all = {.images = images, .texts = texts, .score = score, .stride = texts};
    status rc = retrieval_open(&r, image_group, images, text_group, texts);
    if (rc) return rc;
    retrieval_hits(&r, all);
    retrieval_compare(&r, all);
    rc = retrieval_measure(out, &r);
    retrieval_close(&r);
    return rc;
}

// --- matched or not ------------------------------------------------------------------------------

status binary_add(binary_counts *c, const float *logits, const uint8_t *targets, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (targets[i] > 1)
            return status_fail(STATUS_FORMAT,
                               "binary scores: the target of row %lld is %d, expected 0 or 1",
                               (long long)i, targets[i]);
    for (int64_t i = 0; i < count; i++) {
        const int target = targets[i];
        c->rows[target]++;
        c->right[target] += logits[2 * i + target] > logits[2 * i + 1 - target];
    }
    return STATUS_OK;
}

binary_scores binary_measure(const binary_counts *c) {
    binary_scores out;
    for (int k = 0; k < 2; k++)
        out.recall[k] = c->rows[k] ? (double)c->right[k] / (double)c->rows[k] : NAN;
    const int64_t rows = c->rows[0] + c->rows[1];
    out.accuracy = rows ? (double)(c->right[0] + c->right[1]) / (double)rows : NAN;
    out.balanced_accuracy = (out.recall[0] + out.recall[1]) / 2;
    return out;
}
