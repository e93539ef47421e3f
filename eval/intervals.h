// How sure a score is: bootstrap intervals (Efron) of a run's scores and of the difference of two
// runs, and a paired randomization test (Noreen) of that difference. Pure functions, seeded: the
// same input gives the same bytes with any number of threads. Called by the evaluate and ask
// commands.
//
// A report adds a row of statistics (counts of n-grams, of labels, ...) and every score is a
// function of the sums of rows, so that a corpus is drawn anew without counting anything again.
#pragma once
#include "core/memory.h"

// Statistics of reports. Two runs are compared report by report: equal rows stand for the same
// report.
typedef struct statistics {
    int64_t rows;
    int columns;
    const double *value; // (rows, columns), borrowed
} statistics;

// Writes SCORE (scores) of SUM (columns) over ROWS reports. Several threads call it at once.
typedef void score_function(double *score, const double *sum, int64_t rows, const void *context);

typedef struct score_set {
    int scores;
    score_function *of;
    const void *context;
} score_set;

typedef struct interval_options {
    uint64_t seed;
    int resamples; // 1000 or more for results that are printed
    double level;  // between 0 and 1: 0.95
} interval_options;

typedef struct interval {
    double value;     // of all reports
    double low, high; // percentiles of the resamples (linear between two); NaN if one of their
                      // scores is NaN
} interval;

// OUT (scores): each score of S. FORMAT without rows or with options out of range; MEMORY.
status interval_measure(interval *out, const statistics *s, const score_set *set,
                        const interval_options *options);
// OUT (scores): each score of A minus that of B. FORMAT also where A and B differ in rows or
// columns.
status interval_difference(interval *out, const statistics *a, const statistics *b,
                           const score_set *set, const interval_options *options);
// P (scores): how often exchanging A and B in reports drawn by chance makes a difference at least
// as large as theirs, in either direction: (1 + times) / (1 + resamples). Errors as above.
status randomization_test(double *p, const statistics *a, const statistics *b, const score_set *set,
                          const interval_options *options);
