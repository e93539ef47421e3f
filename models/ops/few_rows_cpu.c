// See the header. A thread takes blocks of four rows of the weight; each number of x that is loaded
// meets all four, each of the weight up to six rows of x. Sums run along K in vectors, in an order
// that K decides, so that an output does not depend on the rows beside it. Built with fused
// multiply-adds (product_cpu.h).
#include "models/ops/few_rows_cpu.h"
#include "models/ops/ops_cpu.h"
#include "models/ops/product_cpu.h"

#include <string.h>

#if defined __x86_64__
#include <immintrin.h>
#define X86         1
#define AVX512      __attribute__((target("avx512f,avx512bw,avx512vl")))
#define AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#else
#define X86 0
#endif

enum {
    OUTPUTS = 4,   // rows of the weight at once
    INPUTS = 6,    // rows of x at once
    SECTION = 1024 // columns of a quantised weight at once
};

static int64_t padded(int64_t n) {
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

static float lanes_sum(vector x) {
    float sum = 0;
    for (int l = 0; l < VECTOR; l++) sum += x[l];
    return sum;
}

// Rows of x in groups as even as can be.
static int group_of(int64_t M) {
    const int64_t groups = (M + INPUTS - 1) / INPUTS;
    return (int)((M + groups - 1) / groups);
}

// --- floats --------------------------------------------------------------------------------------
typedef vector sums_of[INPUTS][OUTPUTS];

INLINE void add_products(int rows, sums_of sums, const float *x, int64_t x_row, const float *w,
                         int64_t w_row, int64_t n) {
    vector sum[INPUTS][OUTPUTS];
    for (int m = 0; m < rows; m++)
        for (int o = 0; o < OUTPUTS; o++) sum[m][o] = sums[m][o];
    for (int64_t k = 0; k < n; k += VECTOR) {
        vector now[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) now[o] = *(const vector *)(w + o * w_row + k);
        for (int m = 0; m < rows; m++) {
            const vector xs = *(const vector *)(x + m * x_row + k);
            for (int o = 0; o < OUTPUTS; o++) sum[m][o] += xs * now[o];
        }
    }
    for (int m = 0; m < rows; m++)
        for (int o = 0; o < OUTPUTS; o++) sums[m][o] = sum[m][o];
}

static void add_rows(int rows, sums_of sums, const float *x, int64_t x_row, const float *w,
                     int64_t w_row, int64_t n) {
    switch (rows) {
    case 1:
        add_products(1, sums, x, x_row, w, w_row, n);
        return;
    case 2:
        add_products(2, sums, x, x_row, w, w_row, n);
        return;
    case 3:
        add_products(3, sums, x, x_row, w, w_row, n);
        return;
    case 4:
        add_products(4, sums, x, x_row, w, w_row, n);
        return;
    case 5:
        add_products(5, sums, x, x_row, w, w_row, n);
        return;
    default:
        add_products(INPUTS, sums, x, x_row, w, w_row, n);
        return;
    }
}

// --- numbers in few bits
// ---------------------------------------------------------------------------
typedef void (*block_reader)(float *to, const uint8_t *codes, const float *table, float size);

static void block_plain(float *to, const uint8_t *codes, const float *table, float size) {
    for (int i = 0; i < NF4_BLOCK / 2; i++) {
        to[2 * i] = table[codes[i] >> 4] * size;
        to[2 * i + 1] = table[codes[i] & 15] * size;
    }
}

#if X86
// Eight bytes as eight words of 64 bits, of which a table of sixteen reads the lowest four bits of
// each half.
AVX512 static void block_avx512(float *to, const uint8_t *codes, const float *table, float size) {
    const __m512 values = _mm512_loadu_ps(table), factor = _mm512_set1_ps(size);
    for (int i = 0; i < NF4_BLOCK / 16; i++) {
        const __m512i bytes =
            _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(codes + 8 * i)));
        const __m512i index =
            _mm512_or_si512(_mm512_srli_epi64(bytes, 4), _mm512_slli_epi64(bytes, 32));
        _mm512_storeu_ps(to + 16 * i, _mm512_mul_ps(_mm512_permutexvar_ps(index, values), factor));
    }
}
#endif

static block_reader block_reader_now(void) {
#if X86
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return block_avx512;
#endif
    return block_plain;
}

static void read_int8(float *restrict to, const int8_t *restrict codes, float scale, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] = (float)codes[i] * scale;
}

void quantised_read(float *to, const quantised *q, int64_t row, int64_t K, int64_t first,
                    int64_t n) {
    const int64_t at = row * K + first;
    if (q->how == QUANT_INT8) {
        read_int8(to, (const int8_t *)q->codes + at, q->scale[row], n);
        return;
    }
    const block_reader read = block_reader_now();
    for (int64_t i = 0; i < n; i += NF4_BLOCK) {
        const int64_t block = (at + i) / NF4_BLOCK;
        const float size = q->table[16 + q->sizes[block]] * q->scale[block / NF4_SIZES] + q->offset;
        read(to + i, (const uint8_t *)q->codes + (at + i) / 2, q->table, size);
    }
}

// --- a block of outputs
// ----------------------------------------------------------------------------
typedef struct few {
    const float *x; // (M, x_row)
    int64_t x_row;
    const float *w;     // plain (N, K)
    const quantised *q; // or this
    int64_t M, N, K;
    const float *bias;
    void *out;
    dtype type;
} few;

static void give_outputs(const few *f, const sums_of *sums, int64_t n, int64_t count) {
    const int group = group_of(f->M);
    for (int64_t m = 0; m < f->M; m++)
        for (int64_t o = 0; o < count; o++) {
            const float sum =
                lanes_sum(sums[m / group][m % group][o]) + (f->bias ? f->bias[n + o] : 0);
            number_write(f->out, m * f->N + n + o, sum, f->type);
        }
}

// LENGTH columns from K on of OUTPUTS rows of the weight; a row that is not there is the last one.
static void add_section(const few *f, sums_of *sums, int64_t n, int64_t k, int64_t length) {
    float section[OUTPUTS][SECTION];
    const int group = group_of(f->M);
    const float *w = f->w + n * f->K + k;
    if (f->q) {
        for (int64_t o = 0; o < OUTPUTS; o++) {
            const int64_t row = n + o < f->N ? n + o : f->N - 1;
            quantised_read(section[o], f->q, row, f->K, k, length);
            memset(section[o] + length, 0, (size_t)(padded(length) - length) * sizeof(float));
        }
        w = section[0];
    }
    for (int64_t m = 0; m < f->M; m += group)
        add_rows((int)(f->M - m < group ? f->M - m : group), sums[m / group],
                 f->x + m * f->x_row + k, f->x_row, w, f->q ? SECTION : f->K, padded(length));
}

static void few_block(const few *f, int64_t n) {
    sums_of sums[FEW_ROWS];
    const int64_t section = f->q ? SECTION : f->K;
    memset(sums, 0, (size_t)((f->M + group_of(f->M) - 1) / group_of(f->M)) * sizeof *sums);
    for (int64_t k = 0; k < f->K; k += section)
        add_section(f, sums, n, k, f->K - k < section ? f->K - k : section);
    give_outputs(f, (const sums_of *)sums, n, f->N - n < OUTPUTS ? f->N - n : OUTPUTS);
}

static void few_run(const few *f) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < f->N; n += OUTPUTS) few_block(f, n);
}

// --- bf16
// ------------------------------------------------------------------------------------------
#if X86
enum { PAIRS = 32 }; // numbers in a vector

AVX512_BF16 INLINE __m512bh pairs_at(const uint16_t *x) {
    return (__m512bh)_mm512_loadu_si512((const void *)x);
}

AVX512_BF16 INLINE void bf16_block(int rows, const few *f, const uint16_t *x, const uint16_t *w,
                                   int64_t m, int64_t n) {
    __m512 sum[INPUTS][OUTPUTS];
    for (int i = 0; i < rows; i++)
        for (int o = 0; o < OUTPUTS; o++) sum[i][o] = _mm512_setzero_ps();
    for (int64_t k = 0; k < f->K; k += PAIRS) {
        __m512bh now[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) now[o] = pairs_at(w + (n + o) * f->K + k);
        for (int i = 0; i < rows; i++) {
            const __m512bh xs = pairs_at(x + (m + i) * f->K + k);
            for (int o = 0; o < OUTPUTS; o++) sum[i][o] = _mm512_dpbf16_ps(sum[i][o], xs, now[o]);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int o = 0; o < OUTPUTS; o++) {
            const float total = _mm512_reduce_add_ps(sum[i][o]) + (f->bias ? f->bias[n + o] : 0);
            number_write(f->out, (m + i) * f->N + n + o, total, DTYPE_BF16);
        }
}

AVX512_BF16 static void bf16_rows(int rows, const few *f, const uint16_t *x, const uint16_t *w,
                                  int64_t m, int64_t n) {
    switch (rows) {
    case 1:
        bf16_block(1, f, x, w, m, n);
        return;
    case 2:
        bf16_block(2, f, x, w, m, n);
        return;
    case 3:
        bf16_block(3, f, x, w, m, n);
        return;
    case 4:
        bf16_block(4, f, x, w, m, n);
        return;
    case 5:
        bf16_block(5, f, x, w, m, n);
        return;
    default:
        bf16_block(INPUTS, f, x, w, m, n);
        return;
    }
}

static void bf16_run(const few *f, const uint16_t *x, const uint16_t *w) {
    const int64_t group = group_of(f->M);
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < f->N; n += OUTPUTS)
        for (int64_t m = 0; m < f->M; m += group)
            bf16_rows((int)(f->M - m < group ? f->M - m : group), f, x, w, m, n);
}
#endif

static bool has_bf16_products(void) {
#if X86
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

// --- what others call
// ------------------------------------------------------------------------------
bool few_rows_take(int64_t M, int64_t N, int64_t K, dtype type) {
    if (M < 1 || M > FEW_ROWS || N % OUTPUTS) return false;
    return type == DTYPE_F32 ? K % VECTOR == 0 : K % 32 == 0 && has_bf16_products();
}

void few_rows_linear(void *out, const void *inp, const void *weight, const float *bias, int64_t M,
                     int64_t N, int64_t K, dtype type) {
    const few f = {.x = inp,
                   .x_row = K,
                   .w = weight,
                   .M = M,
                   .N = N,
                   .K = K,
                   .bias = bias,
                   .out = out,
                   .type = type};
#if X86
    if (type == DTYPE_BF16) {
        bf16_run(&f, inp, weight);
        return;
    }
#endif
    few_run(&f);
}

size_t few_rows_scratch(int64_t M, int64_t K) {
    return (size_t)(M * padded(K)) * sizeof(float);
}

void few_rows_quantised(void *out, const void *inp, const quantised *q, const float *bias,
                        int64_t M, int64_t N, int64_t K, dtype type, void *scratch) {
    float *x = scratch;
    const int64_t row = padded(K);
    for (int64_t m = 0; m < M; m++) {
        const float *from = row_read(x + m * row, inp, m * K, K, type);
        if (type == DTYPE_F32) memcpy(x + m * row, from, (size_t)K * sizeof *x);
        memset(x + m * row + K, 0, (size_t)(row - K) * sizeof *x);
    }
    const few f = {.x = x,
                   .x_row = row,
                   .q = q,
                   .M = M,
                   .N = N,
                   .K = K,
                   .bias = bias,
                   .out = out,
                   .type = type};
    few_run(&f);
}
