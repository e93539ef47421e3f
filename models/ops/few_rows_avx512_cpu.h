// Products of a few rows with a weight in the instructions of AVX-512, chosen when the program
// runs. For few_rows_cpu.c only.
#pragma once
#include "models/ops/kernels.h"

enum {
    OUTPUTS = 4, // rows of the weight at once
    INPUTS = 6   // rows of x at once
};

typedef struct few {
    const void *x; // (M, x_row); of floats but with a weight in bf16
    int64_t x_row;
    const void *w;      // plain (N, K), of TYPE
    const quantised *q; // or this
    int64_t M, N, K;
    const float *bias; // (N) or NULL
    void *out;         // (M, N)
    dtype type;
} few;

// Rows of x in groups as even as can be.
static inline int few_group(int64_t M) {
    const int64_t groups = (M + INPUTS - 1) / INPUTS;
    return (int)((M + groups - 1) / groups);
}

// Whether this CPU has them: with plain weights in bf16; to make numbers in few bits floats.
bool few_avx512_has_bf16(void);
bool few_avx512_has_codes(void);
// Plain bf16, K whole vectors of 32; int8, K whole vectors of 16;
// NF4, whose x few_avx512_turn has turned.
void few_avx512_bf16(const few *f);
void few_avx512_int8(const few *f);
void few_avx512_nf4(const few *f);
// Of each 32 numbers the even ones, then the odd ones: so they meet the upper and the lower halves
// of bytes.
void few_avx512_turn(float *x, int64_t n);
