// Intervals against what is known of a mean, against an exact test over all exchanges, and against
// their own promise: 95 % of them hold the truth. Threads and seeds; bad input.
#include "core/rng.h"
#include "eval/bleu.h"
#include "eval/intervals.h"
#include "tests/core/helper_check.h"

#include <math.h>
#include <omp.h>

enum { ROWS = 80, COLUMNS = 2, SCORES = 2 };

// The mean of the first column, and the ratio of the two.
static void mean_and_ratio(double *score, const double *sum, int64_t rows, const void *context) {
    ck_assert_ptr_eq(context, &mean_and_ratio);
    score[0] = sum[0] / (double)rows;
    score[1] = sum[0] / sum[1];
}

static const score_set set = {SCORES, mean_and_ratio, (const void *)&mean_and_ratio};
static const interval_options options = {.seed = 3, .resamples = 2000, .level = 0.95};

static void draw(double *value, uint32_t which, int rows, double shift) {
    const rng_key key = {.seed = 11, .site = rng_site("test")};
    for (int i = 0; i < rows; i++) {
        value[COLUMNS * i] = shift + rng_normal(key, which, (uint64_t)i);
        value[COLUMNS * i + 1] = 1 + rng_uniform(key, which, (uint64_t)i + 1000);
    }
}

START_TEST(interval_of_a_mean_is_that_of_its_error) {
    double value[ROWS * COLUMNS], mean = 0, square = 0;
    interval got[SCORES];
    draw(value, 0, ROWS, 5);
    ck_assert(!interval_measure(got, &(statistics){ROWS, COLUMNS, value}, &set, &options));
    for (int i = 0; i < ROWS; i++) mean += value[COLUMNS * i] / ROWS;
    for (int i = 0; i < ROWS; i++) square += pow(value[COLUMNS * i] - mean, 2) / ROWS;
    const double error = sqrt(square / ROWS);
    ck_assert(fabs(got[0].value - mean) <= 1e-12);
    ck_assert(fabs(got[0].low - (mean - 1.96 * error)) <= 0.1 * error);
    ck_assert(fabs(got[0].high - (mean + 1.96 * error)) <= 0.1 * error);
    ck_assert(got[1].low < got[1].value && got[1].value < got[1].high);
}
END_TEST

// Of 200 samples' intervals, those that hold the mean they were drawn around: 190 expected,
// spread 3.
START_TEST(intervals_hold_the_truth) {
    int held = 0, held_difference = 0;
    const interval_options few = {.seed = 8, .resamples = 400, .level = 0.95};
    for (uint32_t i = 0; i < 200; i++) {
        double a[ROWS * COLUMNS], b[ROWS * COLUMNS];
        interval got[SCORES];
        draw(a, 2 * i, ROWS, 2);
        draw(b, 2 * i + 1, ROWS, 1.5);
        const statistics x = {ROWS, COLUMNS, a}, y = {ROWS, COLUMNS, b};
        ck_assert(!interval_measure(got, &x, &set, &few));
        held += got[0].low <= 2 && 2 <= got[0].high;
        ck_assert(!interval_difference(got, &x, &y, &set, &few));
        held_difference += got[0].low <= 0.5 && 0.5 <= got[0].high;
    }
    ck_assert_msg(held >= 179 && held <= 199, "%d of 200 intervals hold the mean", held);
    ck_assert_msg(held_difference >= 179 && held_difference <= 199, "%d of 200 differences",
                  held_difference);
}
END_TEST

// Reports that are equally hard for both runs: pairing takes that away.
START_TEST(differences_are_paired) {
    double a[ROWS * COLUMNS], b[ROWS * COLUMNS], p[SCORES];
    interval got[SCORES];
    draw(a, 0, ROWS, 0);
    for (int i = 0; i < ROWS * COLUMNS; i++) b[i] = a[i] - (i % COLUMNS ? 0 : 0.1);
    const statistics x = {ROWS, COLUMNS, a}, y = {ROWS, COLUMNS, b};
    ck_assert(!interval_difference(got, &x, &y, &set, &options));
    ck_assert(fabs(got[0].low - 0.1) <= 1e-9 && fabs(got[0].high - 0.1) <= 1e-9);
    ck_assert(!randomization_test(p, &x, &y, &set, &options));
    ck_assert(p[0] <= 1.0 / 2001 + 1e-12);
    ck_assert(!randomization_test(p, &x, &x, &set, &options));
    ck_assert(p[0] == 1 && p[1] == 1);
}
END_TEST

// All 2^10 exchanges of 10 reports.
START_TEST(randomization_nears_the_exact_test) {
    enum { FEW = 10 };
    const interval_options many = {.seed = 5, .resamples = 40000, .level = 0.95};
    for (uint32_t which = 0; which < 6; which++) {
        double a[FEW * COLUMNS], b[FEW * COLUMNS], got[SCORES], exact[SCORES] = {0}, value[SCORES];
        draw(a, 2 * which, FEW, 0.2 * which);
        draw(b, 2 * which + 1, FEW, 0);
        for (int mask = 0; mask < 1 << FEW; mask++) {
            double sum[2][COLUMNS] = {{0}}, x[SCORES], y[SCORES];
            for (int i = 0; i < FEW; i++)
                for (int k = 0; k < COLUMNS; k++) {
                    sum[mask >> i & 1][k] += a[COLUMNS * i + k];
                    sum[!(mask >> i & 1)][k] += b[COLUMNS * i + k];
                }
            mean_and_ratio(x, sum[0], FEW, set.context);
            mean_and_ratio(y, sum[1], FEW, set.context);
            for (int k = 0; k < SCORES; k++) {
                if (!mask) value[k] = fabs(x[k] - y[k]);
                exact[k] += fabs(x[k] - y[k]) >= value[k] - 1e-12 ? 1.0 / (1 << FEW) : 0;
            }
        }
        const statistics x = {FEW, COLUMNS, a}, y = {FEW, COLUMNS, b};
        ck_assert(!randomization_test(got, &x, &y, &set, &many));
        for (int k = 0; k < SCORES; k++)
            ck_assert_msg(fabs(got[k] - exact[k]) <= 0.01, "score %d: %g, exactly %g", k, got[k],
                          exact[k]);
    }
}
END_TEST

// The mean of many reports' differences, each with a sign by chance, is nearly normal.
START_TEST(randomization_nears_the_normal) {
    for (uint32_t which = 0; which < 4; which++) {
        double a[ROWS * COLUMNS], b[ROWS * COLUMNS], got[SCORES], sum = 0, square = 0;
        draw(a, 2 * which, ROWS, 0.1 * which);
        draw(b, 2 * which + 1, ROWS, 0);
        for (int i = 0; i < ROWS; i++) {
            const double d = a[COLUMNS * i] - b[COLUMNS * i];
            sum += d, square += d * d;
        }
        const statistics x = {ROWS, COLUMNS, a}, y = {ROWS, COLUMNS, b};
        ck_assert(!randomization_test(got, &x, &y, &set, &options));
        const double normal = erfc(fabs(sum) / sqrt(2 * square));
        ck_assert_msg(fabs(got[0] - normal) <= 0.03, "p %g, expected about %g", got[0], normal);
    }
}
END_TEST

START_TEST(seed_decides_and_threads_do_not) {
    double value[ROWS * COLUMNS];
    interval one[SCORES], two[SCORES], other[SCORES];
    const statistics x = {ROWS, COLUMNS, value};
    interval_options changed = options;
    const int threads = omp_get_max_threads();
    changed.seed++;
    draw(value, 0, ROWS, 1);
    omp_set_num_threads(1);
    ck_assert(!interval_measure(one, &x, &set, &options));
    omp_set_num_threads(3);
    ck_assert(!interval_measure(two, &x, &set, &options));
    ck_assert(!interval_measure(other, &x, &set, &changed));
    omp_set_num_threads(threads);
    for (int k = 0; k < SCORES; k++) {
        ck_assert(one[k].low == two[k].low && one[k].high == two[k].high);
        ck_assert(one[k].low != other[k].low && one[k].value == other[k].value);
    }
}
END_TEST

static void bleu_of_sums(double *score, const double *sum, int64_t rows, const void *context) {
    (void)rows, (void)context;
    const bleu_counts x = bleu_of_statistics(sum);
    bleu_score(score, &x);
}

START_TEST(bleu_is_a_function_of_sums) {
    const bleu_counts counts[] = {{9, 8, {9, 8, 7, 6}, {7, 5, 3, 1}},
                                  {4, 6, {4, 3, 2, 1}, {4, 3, 1, 0}}};
    bleu_counts sum = {0};
    double value[2 * BLEU_STATISTICS], want[BLEU_ORDERS];
    interval got[BLEU_ORDERS];
    const score_set bleu = {BLEU_ORDERS, bleu_of_sums, NULL};
    for (int i = 0; i < 2; i++) {
        bleu_to_statistics(value + i * BLEU_STATISTICS, &counts[i]);
        bleu_add(&sum, &counts[i]);
    }
    bleu_score(want, &sum);
    ck_assert(!interval_measure(got, &(statistics){2, BLEU_STATISTICS, value}, &bleu, &options));
    for (int n = 0; n < BLEU_ORDERS; n++) {
        double one[BLEU_ORDERS], two[BLEU_ORDERS];
        bleu_counts first = counts[0], second = counts[1]; // each drawn twice
        ck_assert(got[n].value == want[n]);
        bleu_add(&first, &counts[0]);
        bleu_add(&second, &counts[1]);
        bleu_score(one, &first);
        bleu_score(two, &second);
        ck_assert(fabs(got[n].low - fmin(fmin(one[n], two[n]), want[n])) <= 1e-9);
        ck_assert(fabs(got[n].high - fmax(fmax(one[n], two[n]), want[n])) <= 1e-9);
    }
}
END_TEST

START_TEST(nan_stays_visible) {
    const double value[] = {1, 0, 2, 0, 3, 5};
    interval got[SCORES];
    ck_assert(!interval_measure(got, &(statistics){3, COLUMNS, value}, &set, &options));
    ck_assert(isfinite(got[0].low));
    const double never[] = {0, 0, 0, 0};
    ck_assert(!interval_measure(got, &(statistics){2, COLUMNS, never}, &set, &options));
    ck_assert(isnan(got[1].low) && isnan(got[1].high) && isnan(got[1].value));
}
END_TEST

START_TEST(bad_input_is_an_error) {
    const double value[4] = {1, 2, 3, 4};
    const statistics two = {2, 2, value}, one = {1, 2, value}, none = {0, 2, value};
    const interval_options never = {.resamples = 0, .level = .95},
                           all = {.resamples = 9, .level = 1};
    interval got[SCORES];
    double p[SCORES];
    expect_failure(interval_measure(got, &none, &set, &options), STATUS_FORMAT, "no rows",
                   "0 reports", NULL);
    expect_failure(interval_measure(got, &two, &set, &never), STATUS_FORMAT, "resamples",
                   "0 resamples", NULL);
    expect_failure(interval_measure(got, &two, &set, &all), STATUS_FORMAT, "level", "level 1",
                   NULL);
    expect_failure(interval_difference(got, &two, &one, &set, &options), STATUS_FORMAT, "runs",
                   "2 reports", "1 of 2");
    expect_failure(randomization_test(p, &two, &one, &set, &options), STATUS_FORMAT, "runs",
                   "2 reports", "1 of 2");
    for (int n = 1; n <= 5; n++) {
        mem_fail_at(n);
        ck_assert_int_eq(interval_measure(got, &two, &set, &options), STATUS_MEMORY);
    }
    mem_fail_at(0);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {interval_of_a_mean_is_that_of_its_error,
                                  intervals_hold_the_truth,
                                  differences_are_paired,
                                  randomization_nears_the_exact_test,
                                  randomization_nears_the_normal,
                                  seed_decides_and_threads_do_not,
                                  bleu_is_a_function_of_sums,
                                  nan_stays_visible,
                                  bad_input_is_an_error,
                                  NULL};
    return run_suite(suite_of("intervals", tests));
}
