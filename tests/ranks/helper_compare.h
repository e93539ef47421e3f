// Runs of different numbers of ranks, held against each other. A run A has its folder WORK/A and
// what rank_train left in WORK/A.bin.
#pragma once

// |b - a| <= TOLERANCE |a|, a not 0, for KEY of all steps.
void compare_metrics(const char *work, const char *a, const char *b, int steps, const char *key,
                     double tolerance);
// |(b - start) - (a - start)| <= TOLERANCE |a - start| for each tensor; START NULL: 0. Where the
// true number is 0 (a key's bias, which softmax does not see) what is left is rounding: below 1e-8
// in both. There are at least TENSORS_LEAST tensors, and most of them moved.
void compare_values(const char *work, const char *a, const char *b, const char *start,
                    double tolerance, int tensors_least);
