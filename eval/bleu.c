// Matching n-grams by sorting their places. See bleu.h.
#include "eval/bleu.h"

#include <math.h>
#include <stdlib.h>

typedef struct text {
    const int32_t *id; // (count)
    int64_t count;
    int32_t *place; // (count): of its 4-grams in their order
} text;

static text text_of(const word_lists *lists, int64_t i, int32_t *place) {
    return (text){.id = lists->id + lists->first[i],
                  .count = lists->first[i + 1] - lists->first[i],
                  .place = place};
}

// Compares the first N words at place A of X and place B of Y; the end of a text is less than any
// word.
static int compare(const text *x, int64_t a, const text *y, int64_t b, int n) {
    for (int i = 0; i < n; i++) {
        const int64_t left = a + i < x->count ? x->id[a + i] : -1;
        const int64_t right = b + i < y->count ? y->id[b + i] : -1;
        if (left != right) return left < right ? -1 : 1;
    }
    return 0;
}

static int compare_places(const void *a, const void *b, void *context) {
    const text *t = context;
    return compare(t, *(const int32_t *)a, t, *(const int32_t *)b, BLEU_ORDERS);
}

static void sort_places(text *t) {
    for (int64_t i = 0; i < t->count; i++) t->place[i] = (int32_t)i;
    qsort_r(t->place, (size_t)t->count, sizeof *t->place, compare_places, t);
}

// How many places from AT on begin with the same N words as AT does.
static int64_t group(const text *t, int64_t at, int n) {
    int64_t end = at + 1;
    while (end < t->count && compare(t, t->place[at], t, t->place[end], n) == 0) end++;
    return end - at;
}

// 4-grams in order are n-grams in order for every n below, so both texts are walked once for each
// n.
static int64_t count_correct(const text *x, const text *y, int n) {
    int64_t correct = 0;
    for (int64_t i = 0, j = 0; i < x->count && j < y->count;) {
        const int order = compare(x, x->place[i], y, y->place[j], n);
        const int64_t in_x = order <= 0 ? group(x, i, n) : 0;
        const int64_t in_y = order >= 0 ? group(y, j, n) : 0;
        if (order == 0 && x->place[i] + n <= x->count && y->place[j] + n <= y->count)
            correct += in_x < in_y ? in_x : in_y;
        i += in_x, j += in_y;
    }
    return correct;
}

static int64_t longest(const word_lists *lists) {
    int64_t most = 0;
    for (int64_t i = 0; i < lists->count; i++)
        if (lists->first[i + 1] - lists->first[i] > most)
            most = lists->first[i + 1] - lists->first[i];
    return most;
}

status bleu_count(bleu_counts *out, const word_lists *texts, const word_lists *references) {
    int32_t *place = NULL, *reference_place = NULL;
    if (texts->count != references->count)
        die("bleu_count: %lld texts, %lld references", (long long)texts->count,
            (long long)references->count);
    status rc = mem_new(&place, longest(texts), "n-grams");
    if (!rc) rc = mem_new(&reference_place, longest(references), "n-grams");
    for (int64_t i = 0; i < texts->count && !rc; i++) {
        text x = text_of(texts, i, place), y = text_of(references, i, reference_place);
        out[i] = (bleu_counts){.words = x.count, .reference_words = y.count};
        sort_places(&x);
        sort_places(&y);
        for (int n = 1; n <= BLEU_ORDERS; n++) {
            out[i].guessed[n - 1] = x.count >= n ? x.count - n + 1 : 0;
            out[i].correct[n - 1] = count_correct(&x, &y, n);
        }
    }
    mem_free(place);
    mem_free(reference_place);
    return rc;
}

void bleu_add(bleu_counts *sum, const bleu_counts *x) {
    sum->words += x->words;
    sum->reference_words += x->reference_words;
    for (int n = 0; n < BLEU_ORDERS; n++) {
        sum->guessed[n] += x->guessed[n];
        sum->correct[n] += x->correct[n];
    }
}

void bleu_to_statistics(double out[BLEU_STATISTICS], const bleu_counts *x) {
    out[0] = (double)x->words, out[1] = (double)x->reference_words;
    for (int n = 0; n < BLEU_ORDERS; n++) {
        out[2 + n] = (double)x->guessed[n];
        out[2 + BLEU_ORDERS + n] = (double)x->correct[n];
    }
}

bleu_counts bleu_of_statistics(const double sum[BLEU_STATISTICS]) {
    bleu_counts x = {.words = (int64_t)sum[0], .reference_words = (int64_t)sum[1]};
    for (int n = 0; n < BLEU_ORDERS; n++) {
        x.guessed[n] = (int64_t)sum[2 + n];
        x.correct[n] = (int64_t)sum[2 + BLEU_ORDERS + n];
    }
    return x;
}

// The two small numbers keep 0 / 0 at 0; they are part of the published scores.
void bleu_score(double score[BLEU_ORDERS], const bleu_counts *sum) {
    const double tiny = 1e-15, small = 1e-9;
    const double ratio = ((double)sum->words + tiny) / ((double)sum->reference_words + small);
    double product = 1;
    for (int n = 0; n < BLEU_ORDERS; n++) {
        product *= ((double)sum->correct[n] + tiny) / ((double)sum->guessed[n] + small);
        score[n] = pow(product, 1.0 / (n + 1));
        if (ratio < 1) score[n] *= exp(1 - 1 / ratio);
    }
}
