// What the tests that need a GPU share: the GPU, random numbers on it and beside it in double.
#pragma once
#include "core/device.h"
#include <check.h>

// Runs the COUNT tests. Without a GPU it says so, and is counted as skipped (77) or, with RADIALOG_REQUIRE_GPU
// set, as failed. The value for main to return.
int run_on_gpu(const char *name, const TTest *const *tests, size_t count);
// The first GPU, in each test; f32's products may be rounded to tf32 where TF32.
extern device *gpu;
void open_gpu(bool tf32);
void close_gpu(void); // fails the test if a kernel failed
// f32, bf16, f16; bf16 may be missing on old GPUs.
enum { TYPES = 3 };
extern const dtype types[TYPES];
bool is_missing(dtype type);

typedef struct numbers {
    int64_t count;
    dtype type;
    void *data;   // (COUNT) on the device
    double *host; // (COUNT) what it holds, or what it should
} numbers;

// Drawn from -1 to 1, rounded to TYPE; the same for the same SEED.
numbers numbers_random(device *d, int64_t count, dtype type, uint64_t seed);
// Filled with NaN on the device (so that what is not written is noticed) and zeros in host memory.
numbers numbers_unwritten(device *d, int64_t count, dtype type);
void numbers_free(device *d, numbers *x);
// The device's bytes are near HOST: ||a - b|| <= TOLERANCE ||b||, all finite, b not zero. Fails the
// test else.
void numbers_expect(device *d, const numbers *x, double tolerance, const char *what);
// What X holds now, to be compared by bytes; freed with mem_free.
void *numbers_bytes(device *d, const numbers *x);
// ACT, which writes OUT, gives the same bits twice.
void expect_same_twice(void (*act)(void *context), void *context, const numbers *out,
                       const char *what);
// Sums of many products in f32, rounded to TYPE once.
double numbers_tolerance(dtype type);
