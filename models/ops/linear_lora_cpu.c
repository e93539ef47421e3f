// The skinny products of LoRA; formulas are those of linear_lora.c. A factor is packed as floats
// with a row per rank, A as it lies and B turned, so that both sides of a part are served by the
// same three loops. Sums run over fixed tiles. Built with fused multiply-adds (product_cpu.h).
#include "models/ops/dropout_cpu.h"
#include "models/ops/ops_cpu.h"
#include "models/ops/product_cpu.h"

#include <string.h>

enum {
    WIDTH = 16, // packed rows are padded to a multiple of it, ranks to one of RANKS
    RANKS = 4,
    DOT_ROWS = 4, // rows of x at once where sums run along them, and columns
    DOT_COLUMNS = 512,
    ROWS_OUT = 8, // where sums run over ranks
    COLUMNS_OUT = 512,
    ROWS_SUM = 64, // where sums run over rows
    COLUMNS_SUM = 128
};

static int64_t padded(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

// A part beside the input (with A) or the output (with B): columns FIRST to FIRST + C of rows of
// WIDTH numbers.
typedef struct side {
    float *w; // (r padded, stride), zeros behind (r, C)
    int64_t r, C, stride, first, width;
    int64_t at, R;      // its columns of mid (N, R)
    dropout_shape drop; // rows NULL: none
} side;

static int64_t side_floats(const lora_factors *p, int64_t C) {
    return padded(p->r, RANKS) * padded(C, WIDTH);
}

size_t lora_scratch_cpu(const lora_shape *z, dtype type, stream *s) {
    cpu_expect("linear_lora", type);
    (void)s;
    int64_t inner = 0, outer = 0;
    for (int i = 0; i < z->parts; i++) {
        inner += side_floats(&z->part[i], z->K);
        outer += side_floats(&z->part[i], z->part[i].n);
    }
    return (size_t)(inner > outer ? inner : outer) * sizeof(float);
}

static void pack_a(const side *g, const void *a, dtype type) {
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < g->r; j++) {
        const float *from = row_read(g->w + j * g->stride, a, j * g->C, g->C, type);
        if (type == DTYPE_F32) memcpy(g->w + j * g->stride, from, (size_t)g->C * sizeof *from);
    }
}

static void pack_b(const side *g, const void *b, double scale, dtype type) {
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < g->C; c++)
        for (int64_t j = 0; j < g->r; j++)
            g->w[j * g->stride + c] = (float)scale * number_read(b, c * g->r + j, type);
}

// The parts beside the input, whose factors go into SCRATCH.
static void inner_sides(side *sides, const lora_shape *z, float *scratch, dtype type) {
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        side *g = &sides[i];
        *g = (side){scratch, p->r, z->K, padded(z->K, WIDTH), 0, z->K, p->at, z->R, {0}};
        g->drop = (dropout_shape){z->N, z->K, 1, z->rate, p->key, 0, z->rows};
        memset(scratch, 0, (size_t)side_floats(p, z->K) * sizeof *scratch);
        pack_a(g, p->a, type);
        scratch += side_floats(p, z->K);
    }
}

// Those beside the output, whose factors hold the scale.
static void outer_sides(side *sides, const lora_shape *z, float *scratch, dtype type) {
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        side *g = &sides[i];
        *g = (side){scratch, p->r, p->n, padded(p->n, WIDTH), p->first, z->O, p->at, z->R, {0}};
        memset(scratch, 0, (size_t)side_floats(p, p->n) * sizeof *scratch);
        pack_b(g, p->b, p->scale, type);
        scratch += side_floats(p, p->n);
    }
}

// to (ROWS, STRIDE) = COUNT rows of x from row N on, LENGTH of the side's columns from C on,
// dropped; zeros around, up to ROWS and to a multiple of WIDTH.
static void read_tile(float *to, int64_t stride, int64_t rows, const void *x, const side *g,
                      int64_t n, int64_t count, int64_t c, int64_t length, dtype type) {
    const int64_t wide = padded(length, WIDTH);
    for (int64_t i = 0; i < rows; i++, to += stride) {
        if (i >= count) {
            memset(to, 0, (size_t)wide * sizeof *to);
            continue;
        }
        const float *from = row_read(to, x, (n + i) * g->width + g->first + c, length, type);
        if (g->drop.rows)
            dropout_row_cpu(to, NULL, from, &g->drop, n + i, c, length);
        else if (type == DTYPE_F32)
            memcpy(to, from, (size_t)length * sizeof *to);
        memset(to + length, 0, (size_t)(wide - length) * sizeof *to);
    }
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// --- sums along rows -----------------------------------------------------------------------------
typedef vector dot_sums[DOT_ROWS][RANKS];

static void add_dots(dot_sums sums, const float *x, const float *w, int64_t stride,
                     int64_t length) {
    vector sum[DOT_ROWS][RANKS];
    memcpy(sum, sums, sizeof sum);
    for (int64_t c = 0; c < length; c += VECTOR)
        for (int i = 0; i < DOT_ROWS; i++)
            for (int j = 0; j < RANKS; j++)
                sum[i][j] += *(const vector *)(x + i * DOT_COLUMNS + c) *
                             *(const vector *)(w + j * stride + c);
    memcpy(sums, sum, sizeof sum);
}

// mid (rows from N on) = x w^T.
static void dots_of_tile(float *mid, const void *x, const side *g, int64_t n, int64_t count,
                         dtype type) {
    dot_sums sums[LORA_WIDEST / RANKS];
    float tile[DOT_ROWS * DOT_COLUMNS];
    memset(sums, 0, (size_t)(padded(g->r, RANKS) / RANKS) * sizeof *sums);
    for (int64_t c = 0; c < g->C; c += DOT_COLUMNS) {
        const int64_t length = least(DOT_COLUMNS, g->C - c);
        read_tile(tile, DOT_COLUMNS, DOT_ROWS, x, g, n, count, c, length, type);
        for (int64_t j = 0; j < g->r; j += RANKS)
            add_dots(sums[j / RANKS], tile, g->w + j * g->stride + c, g->stride,
                     padded(length, WIDTH));
    }
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < g->r; j++)
            mid[(n + i) * g->R + g->at + j] = lanes_sum(sums[j / RANKS][i][j % RANKS]);
}

static void dots(float *mid, const void *x, const side *sides, int parts, int64_t N, dtype type) {
#pragma omp parallel for schedule(static)
    for (int64_t n = 0; n < N; n += DOT_ROWS)
        for (int p = 0; p < parts; p++)
            dots_of_tile(mid, x, &sides[p], n, least(DOT_ROWS, N - n), type);
}

// --- sums over ranks -----------------------------------------------------------------------------
// A tile of y += the sum over sides, which have the same columns, of mid w, dropped.
static void spread_tile(void *y, const float *mid, const side *sides, int parts, int64_t n,
                        int64_t count, int64_t c, dtype type) {
    const int64_t length = least(COLUMNS_OUT, sides->C - c);
    float sum[ROWS_OUT * COLUMNS_OUT], part[ROWS_OUT * COLUMNS_OUT], buffer[COLUMNS_OUT];
    memset(sum, 0, sizeof sum);
    for (int p = 0; p < parts; p++) {
        const side *g = &sides[p];
        const bool drops = g->drop.rows;
        product(drops ? part : sum, COLUMNS_OUT, mid + n * g->R + g->at, g->R, 1, g->w + c,
                g->stride, count, padded(length, WIDTH), g->r, !drops);
        for (int64_t i = 0; i < count && drops; i++) {
            float *to = sum + i * COLUMNS_OUT;
            dropout_row_cpu(to, to, part + i * COLUMNS_OUT, &g->drop, n + i, c, length);
        }
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (n + i) * sides->width + sides->first + c;
        float *to = row_begin(buffer, y, at, length, 1, type);
        for (int64_t k = 0; k < length; k++) to[k] += sum[i * COLUMNS_OUT + k];
        row_end(y, at, to, length, type);
    }
}

static void spread(void *y, const float *mid, const side *sides, int parts, int64_t N, dtype type) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t n = 0; n < N; n += ROWS_OUT)
        for (int64_t c = 0; c < sides->C; c += COLUMNS_OUT)
            spread_tile(y, mid, sides, parts, n, least(ROWS_OUT, N - n), c, type);
}

// --- sums over rows ------------------------------------------------------------------------------
typedef struct gradient_to {
    float *d; // the number of rank j and column c is at j * row + c * column
    int64_t row, column;
    float scale;
    int acc;
} gradient_to;

static void give_columns(const gradient_to *to, const float *sum, int64_t r, int64_t c,
                         int64_t length) {
    for (int64_t j = 0; j < r; j++)
        for (int64_t k = 0; k < length; k++) {
            float *d = to->d + j * to->row + (c + k) * to->column;
            const float x = to->scale * sum[j * COLUMNS_SUM + k];
            *d = to->acc ? *d + x : x;
        }
}

// d = scale * mid^T x, or += with its acc.
static void sums_over_rows(const gradient_to *to, const float *mid, const void *x, const side *g,
                           int64_t N, dtype type) {
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < g->C; c += COLUMNS_SUM) {
        const int64_t length = least(COLUMNS_SUM, g->C - c);
        float sum[LORA_WIDEST * COLUMNS_SUM], tile[ROWS_SUM * COLUMNS_SUM];
        memset(sum, 0, (size_t)(g->r * COLUMNS_SUM) * sizeof *sum);
        for (int64_t n = 0; n < N; n += ROWS_SUM) {
            const int64_t count = least(ROWS_SUM, N - n);
            read_tile(tile, COLUMNS_SUM, count, x, g, n, count, c, length, type);
            product(sum, COLUMNS_SUM, mid + n * g->R + g->at, 1, g->R, tile, COLUMNS_SUM, g->r,
                    padded(length, WIDTH), count, 1);
        }
        give_columns(to, sum, g->r, c, length);
    }
}

// --- the kernels ---------------------------------------------------------------------------------
void lora_down_cpu(void *mid, const void *inp, const lora_shape *z, dtype type, void *scratch,
                   stream *s) {
    cpu_expect("linear_lora", type);
    (void)s;
    side sides[LORA_PARTS];
    inner_sides(sides, z, scratch, type);
    dots(mid, inp, sides, z->parts, z->N, type);
}

void lora_up_cpu(void *out, const void *mid, const lora_shape *z, dtype type, void *scratch,
                 stream *s) {
    cpu_expect("linear_lora", type);
    (void)s;
    side sides[LORA_PARTS];
    outer_sides(sides, z, scratch, type);
    for (int i = 0; i < z->parts; i++) spread(out, mid, &sides[i], 1, z->N, type);
}

void lora_up_backward_cpu(void *dmid, const void *dout, const void *mid, const lora_shape *z,
                          dtype type, void *scratch, stream *s) {
    cpu_expect("linear_lora", type);
    (void)s;
    side sides[LORA_PARTS];
    outer_sides(sides, z, scratch, type);
    if (dmid) dots(dmid, dout, sides, z->parts, z->N, type);
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        const gradient_to to = {p->db, 1, p->r, (float)p->scale, p->acc_b};
        if (p->db) sums_over_rows(&to, mid, dout, &sides[i], z->N, type);
    }
}

void lora_down_backward_cpu(void *dinp, const void *dmid, const void *inp, const lora_shape *z,
                            dtype type, void *scratch, stream *s) {
    cpu_expect("linear_lora", type);
    (void)s;
    side sides[LORA_PARTS];
    inner_sides(sides, z, scratch, type);
    if (dinp) spread(dinp, dmid, sides, z->parts, z->N, type);
    for (int i = 0; i < z->parts; i++) {
        const lora_factors *p = &z->part[i];
        const gradient_to to = {p->da, z->K, 1, 1, p->acc_a};
        if (p->da) sums_over_rows(&to, dmid, inp, &sides[i], z->N, type);
    }
}
