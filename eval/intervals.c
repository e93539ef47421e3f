// Corpora drawn anew from sums of statistics. See intervals.h.
#include "eval/intervals.h"
#include "core/rng.h"

#include <math.h>
#include <stdlib.h>

#include <omp.h>

// Everything that the resamples of one call share.
typedef struct drawing {
    const statistics *a, *b; // b NULL: one run
    const score_set *set;
    const interval_options *options;
    double *sum;   // (threads, 2, columns)
    double *score; // (resamples, scores), the scores of each or their differences
    double *other; // (threads, scores)
} drawing;

static status check(const statistics *a, const statistics *b, const interval_options *o) {
    if (a->rows < 1 || a->columns < 1 || a->rows > UINT32_MAX)
        return status_fail(STATUS_FORMAT,
                           "intervals: nothing to draw from: %lld reports of %d statistics",
                           (long long)a->rows, a->columns);
    if (b && (a->rows != b->rows || a->columns != b->columns))
        return status_fail(STATUS_FORMAT,
                           "two runs of different reports cannot be paired: %lld reports of %d "
                           "statistics, %lld of %d",
                           (long long)a->rows, a->columns, (long long)b->rows, b->columns);
    if (o->resamples < 1 || !(o->level > 0 && o->level < 1))
        return status_fail(
            STATUS_FORMAT,
            "intervals: %d resamples at level %g, expected 1 or more, between 0 and 1",
            o->resamples, o->level);
    return STATUS_OK;
}

static void drawing_close(drawing *d) {
    mem_free(d->sum);
    mem_free(d->score);
    mem_free(d->other);
}

static status drawing_open(drawing *d, const statistics *a, const statistics *b,
                           const score_set *set, const interval_options *options) {
    const int64_t threads = omp_get_max_threads();
    *d = (drawing){.a = a, .b = b, .set = set, .options = options};
    status rc = check(a, b, options);
    if (!rc) rc = mem_new(&d->sum, threads * 2 * a->columns, "resamples");
    if (!rc) rc = mem_new(&d->score, (int64_t)options->resamples * set->scores, "resamples");
    if (!rc) rc = mem_new(&d->other, threads * set->scores, "resamples");
    if (rc) drawing_close(d);
    return rc;
}

static void row_add(double *sum, const statistics *s, int64_t row) {
    for (int k = 0; k < s->columns; k++) sum[k] += s->value[row * s->columns + k];
}

// Sums of this thread, emptied.
static double *sums_of(const drawing *d, int which) {
    double *sum = d->sum + (2 * omp_get_thread_num() + which) * (int64_t)d->a->columns;
    for (int k = 0; k < d->a->columns; k++) sum[k] = 0;
    return sum;
}

// SCORE (scores): of the sum X of the first run, less those of the sum Y of the second, if there is
// one.
static void put_scores(double *score, const drawing *d, const double *x, const double *y) {
    d->set->of(score, x, d->a->rows, d->set->context);
    if (!d->b) return;
    double *other = d->other + omp_get_thread_num() * (int64_t)d->set->scores;
    d->set->of(other, y, d->b->rows, d->set->context);
    for (int k = 0; k < d->set->scores; k++) score[k] -= other[k];
}

static void score_all(double *score, const drawing *d) {
    double *x = sums_of(d, 0), *y = sums_of(d, 1);
    for (int64_t i = 0; i < d->a->rows; i++) {
        row_add(x, d->a, i);
        if (d->b) row_add(y, d->b, i);
    }
    put_scores(score, d, x, y);
}

// --- intervals -----------------------------------------------------------------------------------

// As many reports as there are, each drawn from all; the same ones of both runs.
static void draw_reports(drawing *d, int resample) {
    const rng_key key = {.seed = d->options->seed, .site = rng_site("bootstrap")};
    double *x = sums_of(d, 0), *y = sums_of(d, 1);
    for (int64_t i = 0; i < d->a->rows; i++) {
        const int64_t row = rng_below(key, (uint32_t)resample, (uint64_t)i, (uint32_t)d->a->rows);
        row_add(x, d->a, row);
        if (d->b) row_add(y, d->b, row);
    }
    put_scores(d->score + (int64_t)resample * d->set->scores, d, x, y);
}

static int compare_numbers(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The number below which SHARE of SORTED (COUNT) lies.
static double percentile(const double *sorted, int count, double share) {
    const double place = share * (count - 1);
    const int below = (int)place;
    if (below + 1 >= count) return sorted[count - 1];
    return sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]);
}

static void put_interval(interval *out, double *score, int count, double level) {
    out->low = out->high = NAN;
    for (int i = 0; i < count; i++)
        if (isnan(score[i])) return;
    qsort(score, (size_t)count, sizeof *score, compare_numbers);
    out->low = percentile(score, count, (1 - level) / 2);
    out->high = percentile(score, count, (1 + level) / 2);
}

static status intervals_of(interval *out, const statistics *a, const statistics *b,
                           const score_set *set, const interval_options *options) {
    drawing d;
    double *one = NULL, *value = NULL;
    status rc = drawing_open(&d, a, b, set, options);
    if (rc) return rc;
    rc = mem_new(&one, options->resamples, "resamples");
    if (!rc) rc = mem_new(&value, set->scores, "resamples");
    if (!rc) {
#pragma omp parallel for schedule(static)
        for (int i = 0; i < options->resamples; i++) draw_reports(&d, i);
        score_all(value, &d);
    }
    for (int k = 0; k < set->scores && !rc; k++) {
        for (int i = 0; i < options->resamples; i++) one[i] = d.score[(int64_t)i * set->scores + k];
        out[k].value = value[k];
        put_interval(&out[k], one, options->resamples, options->level);
    }
    mem_free(one);
    mem_free(value);
    drawing_close(&d);
    return rc;
}

status interval_measure(interval *out, const statistics *s, const score_set *set,
                        const interval_options *options) {
    return intervals_of(out, s, NULL, set, options);
}

status interval_difference(interval *out, const statistics *a, const statistics *b,
                           const score_set *set, const interval_options *options) {
    return intervals_of(out, a, b, set, options);
}

// --- randomization -------------------------------------------------------------------------------

// Each report goes to one of two sums by the toss of a coin, its twin to the other.
static void exchange_reports(drawing *d, int resample) {
    const rng_key key = {.seed = d->options->seed, .site = rng_site("randomization")};
    double *sum[2] = {sums_of(d, 0), sums_of(d, 1)};
    uint32_t coins = 0;
    for (int64_t i = 0; i < d->a->rows; i++, coins >>= 1) {
        if (i % 32 == 0) coins = rng_word(key, (uint32_t)resample, (uint64_t)i / 32);
        row_add(sum[coins & 1], d->a, i);
        row_add(sum[!(coins & 1)], d->b, i);
    }
    put_scores(d->score + (int64_t)resample * d->set->scores, d, sum[0], sum[1]);
}

status randomization_test(double *p, const statistics *a, const statistics *b, const score_set *set,
                          const interval_options *options) {
    const double rounding = 1e-12; // sums in another order are no other sums
    drawing d;
    double *value = NULL;
    status rc = drawing_open(&d, a, b, set, options);
    if (rc) return rc;
    rc = mem_new(&value, set->scores, "resamples");
    if (!rc) {
#pragma omp parallel for schedule(static)
        for (int i = 0; i < options->resamples; i++) exchange_reports(&d, i);
        score_all(value, &d);
    }
    for (int k = 0; k < set->scores && !rc; k++) {
        int64_t times = 0;
        for (int i = 0; i < options->resamples; i++)
            times += !(fabs(d.score[(int64_t)i * set->scores + k]) < fabs(value[k]) - rounding);
        p[k] = (double)(1 + times) / (double)(1 + options->resamples);
    }
    mem_free(value);
    drawing_close(&d);
    return rc;
}
