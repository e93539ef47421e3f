// See the header. Where the CPU has AVX-512, few_rows_avx512_cpu.c takes narrow weights; this is
// the form for floats and for other CPUs. A thread takes rows of the weight in fours; each number
// of x that is loaded meets all four, each of the weight up to six rows of x. Sums run along K in
// vectors, in an order that K decides, so that an output does not depend on the rows beside it.
// Built with fused multiply-adds (product_cpu.h).
#include "models/ops/few_rows_cpu.h"
#include "models/ops/few_rows_avx512_cpu.h"
#include "models/ops/ops_cpu.h"
#include "models/ops/product_cpu.h"

#include <string.h>

enum {
    FLOAT_ROWS = 4, // rows of x up to which the library's product of floats is slower
    SECTION = 1024  // columns of a quantised weight that are made floats at once
};

static int64_t padded(int64_t n) {
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

static float lanes_sum(vector x) {
    float sum = 0;
    for (int l = 0; l < VECTOR; l++) sum += x[l];
    return sum;
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

// --- a block of outputs -------------------------------------------------------------------------
// Those of the rows of the weight from N on that are FIRST or behind it.
static void give_outputs(const few *f, sums_of *sums, int64_t n, int64_t first) {
    const int group = few_group(f->M);
    for (int64_t m = 0; m < f->M; m++)
        for (int64_t o = first - n; o < OUTPUTS && n + o < f->N; o++) {
            const float sum =
                lanes_sum(sums[m / group][m % group][o]) + (f->bias ? f->bias[n + o] : 0);
            number_write(f->out, m * f->N + n + o, sum, f->type);
        }
}

// LENGTH columns from K on of OUTPUTS rows of the weight; a row that is not there is the last one.
static void add_section(const few *f, sums_of *sums, int64_t n, int64_t k, int64_t length) {
    float section[OUTPUTS][SECTION];
    const int group = few_group(f->M);
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
    sums_of sums[FEW_ROWS / INPUTS + 1];
    const int64_t section = f->q ? SECTION : f->K;
    memset(sums, 0, sizeof sums);
    for (int64_t k = 0; k < f->K; k += section)
        add_section(f, sums, n, k, f->K - k < section ? f->K - k : section);
    give_outputs(f, sums, n, first);
}

static void few_run(const few *f) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < f->N; n += OUTPUTS) few_block(f, n);
}

// --- what others call ---------------------------------------------------------------------------
bool few_rows_take(int64_t M, int64_t N, int64_t K, dtype type) {
    if (M < 1) return false;
    if (type == DTYPE_F32) return M <= FLOAT_ROWS && K % VECTOR == 0 && N >= OUTPUTS;
    return M <= FEW_ROWS && K % 32 == 0 && few_avx512_has_bf16();
}

void few_rows_linear(void *out, const void *inp, const void *weight, const float *bias, int64_t M,
                     int64_t N, int64_t K, dtype type) {
    const few f = {inp, K, weight, NULL, M, N, K, bias, out, type};
    if (type == DTYPE_BF16)
        few_avx512_bf16(&f);
    else
        few_run(&f);
}

size_t few_rows_scratch(int64_t M, int64_t K) {
    return (size_t)(M * padded(K)) * sizeof(float);
}

void few_rows_quantised(void *out, const void *inp, const quantised *q, const float *bias,
                        int64_t M, int64_t N, int64_t K, dtype type, void *scratch) {
    const bool avx512 =
        few_avx512_has_codes() && (q->how == QUANT_NF4 || (q->how == QUANT_INT8 && K % 16 == 0));
    float *x = scratch;
    const few f = {x, padded(K), NULL, q, M, N, K, bias, out, type};
    for (int64_t m = 0; m < M; m++) {
        float *to = x + m * f.x_row;
        const float *from = row_read(to, inp, m * K, K, type);
        if (type == DTYPE_F32) memcpy(to, from, (size_t)K * sizeof *to);
        memset(to + K, 0, (size_t)(f.x_row - K) * sizeof *to);
        if (avx512 && q->how == QUANT_NF4) few_avx512_turn(to, K);
    }
    if (!avx512)
        few_run(&f);
    else if (q->how == QUANT_NF4)
        few_avx512_nf4(&f);
    else
        few_avx512_int8(&f);
}
