// What tests of single ops need beside op_check: a tape that is ready to run, numbers, and a way to
// see that a wrong call dies.
#pragma once
#include "models/ops/ops.h"
#include <check.h>

// A tape on the CPU (or the oracle) with room for 16 MB of each kind, begun and recording.
void tape_open_large(tape *t, bool oracle);

// COUNT numbers between LOW and HIGH, the same for the same SEED. To be freed.
float *random_floats(int64_t count, uint32_t seed, double low, double high);
// Whole numbers from -LARGEST to LARGEST.
float *random_integers(int64_t count, uint32_t seed, int largest);
double *to_doubles(const float *x, int64_t count);

// A tensor over DATA (borrowed). With a gradient if D is not NULL, which is where it goes
// (borrowed).
tensor tensor_over(void *data, dtype type, int rank, const int64_t *dim);
void tensor_want(tensor *x, gradient *g, void *d);

// ||a - b|| / ||b||, infinite where b is 0 or anything is not finite.
double relative_distance(const float *a, const double *b, int64_t count);

// Fails the test unless CALL dies with a message that contains TEXT.
void expect_death(void (*call)(tape *t), const char *text);
