// Linear layers with weights in few bits. A few rows of x read the codes themselves; for more, the
// weight becomes plain tile by tile, each in the type that the library multiplies. FP8's products are so, too: x (and
// dout) rounded to E4M3 by kernels of our own, what it then is multiplied in a wider type.
#include "core/onednn.h"
#include "models/ops/few_rows_cpu.h"
#include "models/ops/ops_cpu.h"
#include "models/ops/quantised.h"

static void read_int8(float *restrict to, const int8_t *restrict codes, float scale, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] = (float)codes[i] * scale;
}

static void read_fp8(float *restrict to, const uint8_t *restrict codes, float scale, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] = e4m3_value(codes[i]) * scale;
}

static void read_block(float *restrict to, const uint8_t *restrict codes, const float *table,
                       float size) {
    for (int i = 0; i < NF4_BLOCK / 2; i++) {
        to[2 * i] = table[codes[i] >> 4] * size;
        to[2 * i + 1] = table[codes[i] & 15] * size;
    }
}

void quantised_read(float *to, const quantised *q, int64_t row, int64_t K, int64_t first,
                    int64_t n) {
    const int64_t at = row * K + first;
    if (q->how == QUANT_INT8) {
        read_int8(to, (const int8_t *)q->codes + at, q->scale[row], n);
        return;
    }
    if (q->how == QUANT_FP8) {
        read_fp8(to, (const uint8_t *)q->codes + at, q->scale[row], n);
        return;
    }
    for (int64_t i = 0; i < n; i += NF4_BLOCK) {
        const int64_t block = (at + i) / NF4_BLOCK;
        const float size = q->table[16 + q->sizes[block]] * q->scale[block / NF4_SIZES] + q->offset;
        read_block(to + i, (const uint8_t *)q->codes + (at + i) / 2, q->table, size);
    }
}

// Rows FIRST to FIRST + rows of the weight as plain numbers.
static void make_plain(void *out, const quantised *q, int64_t first, int64_t rows, int64_t K,
                       dtype type) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < K; k += ROW) {
            float buffer[ROW];
            const int64_t n = row_length(k, K), at = r * K + k;
            float *to = row_begin(buffer, out, at, n, 0, type);
            quantised_read(to, q, first + r, K, k, n);
            row_end(out, at, to, n, type);
        }
}

static float largest_of(const float *x, const float *weigh, int64_t n) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) {
        const float size = fabsf(weigh ? x[i] * weigh[i] : x[i]);
        most = size > most ? size : most;
    }
    return most;
}

// out (M, C) = x, each row rounded to E4M3 by a scale of its own, its columns multiplied by WEIGH (C) before and
// divided by it behind: powers of two, so that this rounds nothing. WEIGH may be NULL.
static void round_rows(void *out, const void *x, const float *weigh, int64_t M, int64_t C, dtype type) {
#pragma omp parallel for schedule(static)
    for (int64_t m = 0; m < M; m++) {
        float largest = 0, buffer[ROW];
        for (int64_t c = 0; c < C; c += ROW) {
            const int64_t n = row_length(c, C);
            const float most = largest_of(row_read(buffer, x, m * C + c, n, type), weigh ? weigh + c : NULL, n);
            largest = most > largest ? most : largest;
        }
        const float scale = e4m3_scale(largest), part = e4m3_reciprocal(scale);
        for (int64_t c = 0; c < C; c += ROW) {
            const int64_t n = row_length(c, C), at = m * C + c;
            const float *from = row_read(buffer, x, at, n, type);
            float *to = row_begin(buffer, out, at, n, 0, type);
            if (weigh)
                for (int64_t i = 0; i < n; i++)
                    to[i] = e4m3_round(from[i] * weigh[c + i] * part) * scale * e4m3_reciprocal(weigh[c + i]);
            else
                for (int64_t i = 0; i < n; i++) to[i] = e4m3_round(from[i] * part) * scale;
            row_end(out, at, to, n, type);
        }
    }
}

// A tile's product: columns of out, or a sum over columns of dout.
static onednn_product forward_tile(int64_t M, int64_t N, int64_t K, int64_t rows, dtype type) {
    return (onednn_product){
        .M = M, .N = rows, .K = K, .transposed = true, .type = type, .out_row = N};
}

static onednn_product backward_tile(int64_t M, int64_t N, int64_t K, int64_t rows, dtype type) {
    return (onednn_product){.M = M, .N = K, .K = rows, .type = type, .a_row = N};
}

size_t linear_quantised_scratch_cpu(const quantised *q, int64_t M, int64_t N, int64_t K, dtype type,
                                    stream *s) {
    cpu_expect("linear_quantised", type);
    size_t most = 0;
    if (M == 0) return 0;
    const int64_t rows = quantised_tile(q, N, K, type), kinds[2] = {rows, N % rows};
    for (int i = 0; i < 2; i++) { // the tiles and the last one
        const onednn_product there = forward_tile(M, N, K, kinds[i], type);
        const onednn_product back = backward_tile(M, N, K, kinds[i], type);
        if (kinds[i] == 0) continue;
        const size_t a = onednn_matmul_scratch(&there, s), b = onednn_matmul_scratch(&back, s);
        most = a > most ? a : most;
        most = b > most ? b : most;
    }
    most += quantised_tile_bytes(q, N, K, type);
    const size_t few = M <= QUANTISED_FEW ? few_rows_scratch(M, K) : 0;
    return quantised_rounded_bytes(q, M, N, K, type) + (few > most ? few : most);
}

void linear_quantised_forward_cpu(void *out, const void *inp, const quantised *q, const void *bias,
                                  int64_t M, int64_t N, int64_t K, dtype type, void *scratch,
                                  stream *s) {
    cpu_expect("linear_quantised", type);
    if (q->how == QUANT_FP8) {
        round_rows(scratch, inp, NULL, M, K, type);
        inp = scratch;
        scratch = (char *)scratch + quantised_rounded_bytes(q, M, N, K, type);
    }
    if (M <= QUANTISED_FEW) {
        few_rows_quantised(out, inp, q, bias, M, N, K, type, scratch);
        return;
    }
    const int64_t step = quantised_tile(q, N, K, type);
    char *rest = (char *)scratch + quantised_tile_bytes(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const onednn_product z = forward_tile(M, N, K, rows, type);
        make_plain(scratch, q, n, rows, K, type);
        onednn_matmul(element(out, n, type), inp, scratch, bias ? (const float *)bias + n : NULL,
                      &z, 0, rest, s);
    }
}

void linear_quantised_backward_input_cpu(void *dinp, const void *dout, const quantised *q,
                                         int64_t M, int64_t N, int64_t K, int acc, dtype type,
                                         void *scratch, stream *s) {
    cpu_expect("linear_quantised", type);
    if (q->how == QUANT_FP8) {
        round_rows(scratch, dout, q->scale, M, N, type);
        dout = scratch;
        scratch = (char *)scratch + quantised_rounded_bytes(q, M, N, K, type);
    }
    const int64_t step = quantised_tile(q, N, K, type);
    char *rest = (char *)scratch + quantised_tile_bytes(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const onednn_product z = backward_tile(M, N, K, rows, type);
        make_plain(scratch, q, n, rows, K, type);
        onednn_matmul(dinp, element(dout, n, type), scratch, NULL, &z, acc || n, rest, s);
    }
}
