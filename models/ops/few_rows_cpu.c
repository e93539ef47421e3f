// See the header. few_rows_avx512_cpu.c takes weights in bf16 where the CPU's dot products of them are fast, and those in
// few bits where it has AVX-512; this is the form for the rest. A thread takes rows of the weight in fours; each number of
// x that is loaded meets all four, each of the weight a GROUP of rows of x. Sums run along K in vectors, in an order that
// K decides, so that an output does not depend on the rows beside it. Built with fused multiply-adds (product_cpu.h).
#include "models/ops/few_rows_cpu.h"
#include "models/ops/few_rows_avx512_cpu.h"
#include "models/ops/ops_cpu.h"
#include "models/ops/product_cpu.h"

#include <string.h>

enum {
    GROUP = VECTOR == 16 ? INPUTS : 3, // rows of x at once: their sums stay in registers, of which AVX2 has half as many
    PAIRS_ROWS = 32, // rows of x up to which a weight in bf16 is widened on the way, not as a whole (core/onednn.c)
    FLOAT_ROWS = 4,  // rows of x up to which the library's product of floats is slower
    SECTION = 1024,  // columns of a quantised weight that are made floats at once
    TURNED = 16      // the widest vector that x is turned for
};

static int64_t padded(int64_t n) {
    return (n + VECTOR - 1) / VECTOR * VECTOR;
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
    case 1: add_products(1, sums, x, x_row, w, w_row, n); break;
    case 2: add_products(2, sums, x, x_row, w, w_row, n); break;
    case 3: add_products(3, sums, x, x_row, w, w_row, n); break;
    case 4: add_products(4, sums, x, x_row, w, w_row, n); break;
    case 5: add_products(5, sums, x, x_row, w, w_row, n); break;
    default: add_products(INPUTS, sums, x, x_row, w, w_row, n); break;
    }
}

// --- bf16, made floats on the way ----------------------------------------------------------------
// A word holds two numbers: its lower half one of an even column, its upper half one of an odd one. x is turned so
// that its vectors meet them.
typedef uint32_t words __attribute__((vector_size(VECTOR * 4), aligned(2), may_alias));

// Of each 2 * WIDTH numbers the even ones, then the odd ones.
static void turn(float *x, int64_t n, int64_t width) {
    float now[2 * TURNED];
    for (int64_t k = 0; k < n; k += 2 * width) {
        for (int64_t i = 0; i < width; i++) now[i] = x[k + 2 * i], now[width + i] = x[k + 2 * i + 1];
        memcpy(x + k, now, (size_t)(2 * width) * sizeof *x);
    }
}

// LINES rows of AHEAD are asked for on the way.
INLINE void add_pairs(int rows, sums_of sums, const float *x, const uint16_t *w, int64_t K, const uint16_t *ahead,
                      int lines) {
    vector sum[INPUTS][OUTPUTS] = {0};
    for (int64_t k = 0; k < K; k += 2 * VECTOR) {
        vector even[OUTPUTS], odd[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) {
            const words pair = *(const words *)(w + o * K + k);
            even[o] = (vector)(pair << 16);
            odd[o] = (vector)(pair & 0xffff0000u);
        }
        for (int o = 0; o < lines; o++) __builtin_prefetch(ahead + o * K + k, 0, 2);
        for (int m = 0; m < rows; m++) {
            const vector xs = *(const vector *)(x + m * K + k);
            for (int o = 0; o < OUTPUTS; o++) sum[m][o] += xs * even[o];
        }
        for (int m = 0; m < rows; m++) {
            const vector xs = *(const vector *)(x + m * K + k + VECTOR);
            for (int o = 0; o < OUTPUTS; o++) sum[m][o] += xs * odd[o];
        }
    }
    for (int m = 0; m < rows; m++)
        for (int o = 0; o < OUTPUTS; o++) sums[m][o] = sum[m][o];
}

static void pairs_rows(int rows, sums_of sums, const float *x, const uint16_t *w, int64_t K, const uint16_t *ahead,
                       int lines) {
    switch (rows) {
    case 1: add_pairs(1, sums, x, w, K, ahead, lines); break;
    case 2: add_pairs(2, sums, x, w, K, ahead, lines); break;
    case 3: add_pairs(3, sums, x, w, K, ahead, lines); break;
    case 4: add_pairs(4, sums, x, w, K, ahead, lines); break;
    case 5: add_pairs(5, sums, x, w, K, ahead, lines); break;
    default: add_pairs(INPUTS, sums, x, w, K, ahead, lines); break;
    }
}

// --- a block of outputs -------------------------------------------------------------------------
// Those of the rows of the weight from N on that are FIRST or behind it.
static void give_outputs(const few *f, sums_of *sums, int64_t n, int64_t first) {
    const int64_t skip = first - n, count = f->N - first < OUTPUTS ? f->N - first : OUTPUTS - skip;
    const int group = few_group(f->M, GROUP);
    for (int64_t m = 0; m < f->M; m++) {
        float total[OUTPUTS];
        for (int o = 0; o < OUTPUTS; o++) total[o] = lanes_sum(sums[m / group][m % group][o]);
        for (int64_t o = skip; o < skip + count && f->bias; o++) total[o] += f->bias[n + o];
        if (f->type == DTYPE_F32)
            memcpy(element(f->out, m * f->N + first, f->type), total + skip, (size_t)count * sizeof *total);
        else
            row_end(f->out, m * f->N + first, total + skip, count, f->type);
    }
}

// LENGTH columns from K on of OUTPUTS rows of the weight; a row that is not there is the last one.
static void add_section(const few *f, sums_of *sums, int64_t n, int64_t k, int64_t length) {
    float section[OUTPUTS][SECTION];
    const int group = few_group(f->M, GROUP);
    const float *x = f->x, *w = f->w;
    if (w) w += n * f->K + k;
    for (int64_t o = 0; o < OUTPUTS && f->q; o++) {
        quantised_read(section[o], f->q, n + o < f->N ? n + o : f->N - 1, f->K, k, length);
        memset(section[o] + length, 0, (size_t)(padded(length) - length) * sizeof(float));
    }
    for (int64_t m = 0; m < f->M; m += group)
        add_rows((int)(f->M - m < group ? f->M - m : group), sums[m / group], x + m * f->x_row + k,
                 f->x_row, f->q ? section[0] : w, f->q ? SECTION : f->K, padded(length));
}

// A last block that is not whole takes rows of the one before it as well.
static void few_block(const few *f, int64_t first) {
    const int64_t n = f->q || first + OUTPUTS <= f->N ? first : f->N - OUTPUTS;
    sums_of sums[FEW_ROWS / GROUP + 1];
    const int64_t section = f->q ? SECTION : f->K;
    memset(sums, 0, sizeof sums);
    for (int64_t k = 0; k < f->K; k += section)
        add_section(f, sums, n, k, f->K - k < section ? f->K - k : section);
    give_outputs(f, sums, n, first);
}

// Each group of rows of x asks for its share of the next block, so that the memory is read evenly while products are
// made: by one of them alone, there would be times of reading and times of multiplying.
static void pairs_block(const few *f, int64_t first) {
    const int64_t n = first + OUTPUTS <= f->N ? first : f->N - OUTPUTS, group = few_group(f->M, GROUP);
    const int64_t groups = (f->M + group - 1) / group;
    const uint16_t *w = (const uint16_t *)f->w + n * f->K;
    sums_of sums[PAIRS_ROWS / GROUP + 1];
    for (int64_t g = 0; g < groups; g++) {
        const int64_t m = g * group, share = g * OUTPUTS / groups;
        pairs_rows((int)(f->M - m < group ? f->M - m : group), sums[g], (const float *)f->x + m * f->K, w, f->K,
                   w + (OUTPUTS + share) * f->K, (int)((g + 1) * OUTPUTS / groups - share));
    }
    give_outputs(f, sums, n, first);
}

static void few_run(const few *f, void (*block)(const few *f, int64_t first)) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < f->N; n += OUTPUTS) block(f, n);
}

// --- what others call ---------------------------------------------------------------------------
bool few_rows_take(int64_t M, int64_t N, int64_t K, dtype type) {
    if (M < 1) return false;
    if (type == DTYPE_F32) return M <= FLOAT_ROWS && K % VECTOR == 0 && N >= OUTPUTS;
    return K % 32 == 0 && (few_avx512_has_dots() ? M <= FEW_ROWS : M <= PAIRS_ROWS && N >= OUTPUTS);
}

size_t few_rows_scratch(int64_t M, int64_t K) {
    return (size_t)((M < PAIRS_ROWS ? M : PAIRS_ROWS) * padded(K)) * sizeof(float);
}

// Rows of x as floats, zeros behind them.
static void read_floats(float *x, const void *inp, int64_t M, int64_t K, dtype type) {
    for (int64_t m = 0; m < M; m++) {
        float *to = x + m * padded(K);
        const float *from = row_read(to, inp, m * K, K, type);
        if (type == DTYPE_F32) memcpy(to, from, (size_t)K * sizeof *to);
        memset(to + K, 0, (size_t)(padded(K) - K) * sizeof *to);
    }
}

void few_rows_linear(void *out, const void *inp, const void *weight, const float *bias, int64_t M, int64_t N,
                     int64_t K, dtype type, void *scratch) {
    few f = {inp, K, weight, NULL, M, N, K, bias, out, type};
    if (type == DTYPE_F32) {
        few_run(&f, few_block);
    } else if (few_avx512_has_dots()) {
        few_avx512_bf16(&f);
    } else {
        read_floats(scratch, inp, M, K, type);
        turn(scratch, M * K, VECTOR);
        f.x = scratch;
        few_run(&f, pairs_block);
    }
}

void few_rows_quantised(void *out, const void *inp, const quantised *q, const float *bias, int64_t M, int64_t N,
                        int64_t K, dtype type, void *scratch) {
    const bool avx512 =
        few_avx512_has_codes() && (q->how == QUANT_NF4 || (q->how == QUANT_INT8 && K % 16 == 0));
    const few f = {scratch, padded(K), NULL, q, M, N, K, bias, out, type};
    read_floats(scratch, inp, M, K, type);
    if (!avx512) {
        few_run(&f, few_block);
    } else if (q->how == QUANT_NF4) {
        turn(scratch, M * K, 16);
        few_avx512_nf4(&f);
    } else {
        few_avx512_int8(&f);
    }
}
