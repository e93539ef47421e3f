// Products of a few rows with a weight in the instructions of AVX-512, chosen when the program
// runs. For few_rows_cpu.c only.
#pragma once
#include "models/ops/kernels.h"

enum {
    OUTPUTS = 4, // rows of the weight at once
    INPUTS = 6   // rows of x at once
};

typedef struct few {
    const void *x; // (M, x_row); of floats, but for few_avx512_bf16
    int64_t x_row;
    const void *w;      // plain (N, K), of TYPE
    const quantised *q; // or this
    int64_t M, N, K;
    const float *bias; // (N) or NULL
    void *out;         // (M, N)
    dtype type;
} few;

// Rows of x in groups of MOST and as even as can be.
static inline int few_group(int64_t M, int most) {
    const int64_t groups = (M + most - 1) / most;
    return (int)((M + groups - 1) / groups);
}

// Whether this CPU has them: dot products of bf16, faster than those of floats; to make numbers in few bits floats.
bool few_avx512_has_dots(void);
bool few_avx512_has_codes(void);
// Plain bf16, K whole vectors of 32; int8, K whole vectors of 16;
// NF4, where of each 32 numbers of x the even ones come before the odd ones.
void few_avx512_bf16(const few *f);
void few_avx512_int8(const few *f);
void few_avx512_nf4(const few *f);
