// See the header. Sums of a block, such as six rows of x with four of the weight, stay in registers
// along all of K.
#include "models/ops/few_rows_avx512_cpu.h"
#include "core/onednn.h"
#include "models/ops/ops_cpu.h"

#if defined __x86_64__
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define CODES  __attribute__((target("avx512f,avx512bw,avx512vl")))
#define BF16   __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

typedef __m512 sums_of[INPUTS][OUTPUTS];

// A row of the weight that is not there is the last one; nobody keeps its sums.
INLINE int64_t row_of(const few *f, int64_t n) {
    return n < f->N ? n : f->N - 1;
}

CODES INLINE void clear(sums_of sum, int rows) {
    for (int i = 0; i < rows; i++)
        for (int o = 0; o < OUTPUTS; o++) sum[i][o] = _mm512_setzero_ps();
}

// FACTOR (N) multiplies the sums, NULL: nothing does.
CODES INLINE void give(const few *f, sums_of sum, int rows, int64_t m, int64_t n,
                       const float *factor) {
    for (int i = 0; i < rows; i++)
        for (int64_t o = 0; o < OUTPUTS; o++) {
            if (n + o >= f->N) continue;
            float total = _mm512_reduce_add_ps(sum[i][o]);
            if (factor) total *= factor[n + o];
            if (f->bias) total += f->bias[n + o];
            number_write(f->out, (m + i) * f->N + n + o, total, f->type);
        }
}

// --- bf16 ----------------------------------------------------------------------------------------
// Up to ROWS rows of x meet as many rows of the weight as leave their sums in registers.
enum { ROWS = 12 };

static int outputs_of(int rows) {
    return rows > 6 ? 2 : rows > 3 ? 4 : 8;
}

BF16 INLINE __m512bh pairs_at(const uint16_t *x) {
    return (__m512bh)_mm512_loadu_si512((const void *)x);
}

// The sums of four vectors, each taken in the same order wherever it stands.
CODES INLINE __m128 four_sums(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    // By doubles: the extraction of eight floats is AVX-512DQ, which nothing here asks for.
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(all), 1));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), high);
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

CODES INLINE void give_bf16(const few *f, const __m512 *sum, int count, int outputs, int64_t m,
                            int64_t n) {
    float total[ROWS * 2];
    for (int i = 0; i < count; i += 4)
        _mm_storeu_ps(total + i, four_sums(sum[i], sum[i + 1], sum[i + 2], sum[i + 3]));
    for (int i = 0; i < count; i++) {
        const int64_t row = m + i / outputs, column = n + i % outputs;
        if (column >= f->N) continue;
        if (f->bias) total[i] += f->bias[column];
        number_write(f->out, row * f->N + column, total[i], f->type);
    }
}

// What the next block of the weight holds is asked for on the way: its rows are often a page each,
// which is where the memory's own reading ahead ends.
BF16 INLINE void bf16_block(int rows, int outputs, const few *f, int64_t m, int64_t n) {
    const uint16_t *x = (const uint16_t *)f->x + m * f->x_row, *w[8];
    const int count = rows * outputs;
    __m512 sum[ROWS * 2 + 3];
    for (int o = 0; o < outputs; o++) w[o] = (const uint16_t *)f->w + row_of(f, n + o) * f->K;
    for (int i = 0; i < count + 3; i++) sum[i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < f->K; k += 32) {
        __m512bh now[8];
        for (int o = 0; o < outputs; o++) {
            now[o] = pairs_at(w[o] + k);
            if (rows > 1) _mm_prefetch((const char *)(w[o] + outputs * f->K + k), _MM_HINT_T0);
        }
        for (int i = 0; i < rows; i++) {
            const __m512bh xs = pairs_at(x + i * f->x_row + k);
            for (int o = 0; o < outputs; o++)
                sum[i * outputs + o] = _mm512_dpbf16_ps(sum[i * outputs + o], xs, now[o]);
        }
    }
    give_bf16(f, sum, count, outputs, m, n);
}

BF16 static void bf16_rows(int rows, const few *f, int64_t m, int64_t n) {
    switch (rows) {
    case 1: bf16_block(1, 8, f, m, n); break;
    case 2: bf16_block(2, 8, f, m, n); break;
    case 3: bf16_block(3, 8, f, m, n); break;
    case 4: bf16_block(4, 4, f, m, n); break;
    case 5: bf16_block(5, 4, f, m, n); break;
    case 6: bf16_block(6, 4, f, m, n); break;
    case 7: bf16_block(7, 2, f, m, n); break;
    case 8: bf16_block(8, 2, f, m, n); break;
    case 9: bf16_block(9, 2, f, m, n); break;
    case 10: bf16_block(10, 2, f, m, n); break;
    case 11: bf16_block(11, 2, f, m, n); break;
    default: bf16_block(ROWS, 2, f, m, n); break;
    }
}

// --- int8 ----------------------------------------------------------------------------------------
CODES INLINE void add_floats(sums_of sum, int rows, const few *f, const float *x,
                             const __m512 now[OUTPUTS]) {
    for (int i = 0; i < rows; i++) {
        const __m512 xs = _mm512_loadu_ps(x + i * f->x_row);
        for (int o = 0; o < OUTPUTS; o++) sum[i][o] = _mm512_fmadd_ps(xs, now[o], sum[i][o]);
    }
}

CODES INLINE void int8_block(int rows, const few *f, int64_t m, int64_t n) {
    const float *x = (const float *)f->x + m * f->x_row;
    const int8_t *w[OUTPUTS];
    sums_of sum;
    for (int o = 0; o < OUTPUTS; o++) w[o] = (const int8_t *)f->q->codes + row_of(f, n + o) * f->K;
    clear(sum, rows);
    for (int64_t k = 0; k < f->K; k += 16) {
        __m512 now[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) {
            const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)(w[o] + k));
            now[o] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes));
        }
        add_floats(sum, rows, f, x + k, now);
    }
    give(f, sum, rows, m, n, f->q->scale);
}

CODES static void int8_rows(int rows, const few *f, int64_t m, int64_t n) {
    switch (rows) {
    case 1: int8_block(1, f, m, n); break;
    case 2: int8_block(2, f, m, n); break;
    case 3: int8_block(3, f, m, n); break;
    case 4: int8_block(4, f, m, n); break;
    case 5: int8_block(5, f, m, n); break;
    default: int8_block(INPUTS, f, m, n); break;
    }
}

// --- NF4 -----------------------------------------------------------------------------------------
// A table of sixteen reads the lowest four bits of each index: those of a byte, and after a shift its
// upper ones.
CODES INLINE void nf4_block(int rows, const few *f, int64_t m, int64_t n) {
    const float *x = (const float *)f->x + m * f->x_row;
    const quantised *q = f->q;
    const __m512 values = _mm512_loadu_ps(q->table);
    const uint8_t *w[OUTPUTS];
    int64_t block[OUTPUTS];
    sums_of sum;
    for (int o = 0; o < OUTPUTS; o++) {
        w[o] = (const uint8_t *)q->codes + row_of(f, n + o) * f->K / 2;
        block[o] = row_of(f, n + o) * f->K / NF4_BLOCK;
    }
    clear(sum, rows);
    for (int64_t k = 0; k < f->K; k += NF4_BLOCK) {
        __m512 size[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) {
            const int64_t b = block[o] + k / NF4_BLOCK;
            size[o] =
                _mm512_set1_ps(q->table[16 + q->sizes[b]] * q->scale[b / NF4_SIZES] + q->offset);
        }
        for (int64_t half = k; half < k + NF4_BLOCK; half += 32) {
            __m512 first[OUTPUTS], second[OUTPUTS];
            for (int o = 0; o < OUTPUTS; o++) {
                const __m128i bytes =
                    _mm_loadu_si128((const __m128i *)(const void *)(w[o] + half / 2));
                const __m512i index = _mm512_cvtepu8_epi32(bytes);
                first[o] = _mm512_mul_ps(_mm512_permutexvar_ps(_mm512_srli_epi32(index, 4), values),
                                         size[o]);
                second[o] = _mm512_mul_ps(_mm512_permutexvar_ps(index, values), size[o]);
            }
            add_floats(sum, rows, f, x + half, first);
            add_floats(sum, rows, f, x + half + 16, second);
        }
    }
    give(f, sum, rows, m, n, NULL);
}

CODES static void nf4_rows(int rows, const few *f, int64_t m, int64_t n) {
    switch (rows) {
    case 1: nf4_block(1, f, m, n); break;
    case 2: nf4_block(2, f, m, n); break;
    case 3: nf4_block(3, f, m, n); break;
    case 4: nf4_block(4, f, m, n); break;
    case 5: nf4_block(5, f, m, n); break;
    default: nf4_block(INPUTS, f, m, n); break;
    }
}

// --- all of a weight -----------------------------------------------------------------------------
// Groups of rows are equally large; the last one begins earlier where that takes it.
static void run(const few *f, void (*some)(int rows, const few *f, int64_t m, int64_t n),
                int64_t group, int64_t outputs) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < f->N; n += outputs)
        for (int64_t m = 0; m < f->M; m += group)
            some((int)group, f, m + group < f->M ? m : f->M - group, n);
}

bool few_avx512_has_codes(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

bool few_avx512_has_dots(void) {
    return few_avx512_has_codes() && onednn_bf16_dots_are_fast();
}

void few_avx512_bf16(const few *f) {
    const int64_t groups = (f->M + ROWS - 1) / ROWS, group = (f->M + groups - 1) / groups;
    run(f, bf16_rows, group, outputs_of((int)group));
}

void few_avx512_int8(const few *f) {
    run(f, int8_rows, few_group(f->M, INPUTS), OUTPUTS);
}

void few_avx512_nf4(const few *f) {
    run(f, nf4_rows, few_group(f->M, INPUTS), OUTPUTS);
}

#else

bool few_avx512_has_codes(void) {
    return false;
}

bool few_avx512_has_dots(void) {
    return false;
}

void few_avx512_bf16(const few *f) {
    (void)f;
    die("few_rows: this CPU has no AVX-512");
}

void few_avx512_int8(const few *f) {
    few_avx512_bf16(f);
}

void few_avx512_nf4(const few *f) {
    few_avx512_bf16(f);
}

#endif
