// Rows are taken in tiles that stay in the second-level cache: each sweep over a tile reads and
// writes memory in long runs, which is what makes one pass faster than three.
#include "models/ops/dropout_cpu.h"
#include "models/ops/norm_cpu.h"

#include <string.h>

enum { TILE = 2 * NORM_WIDTH }; // numbers

static void expect_arguments(int64_t D, dtype type) {
    cpu_expect("residual_norm", type);
    if (D > NORM_WIDTH)
        die("residual_norm: rows of %lld, expected at most %d", (long long)D, NORM_WIDTH);
}

static int64_t tile_rows(const dropout_shape *z) {
    return z->per_sample > 0 ? TILE / z->per_sample : 1;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// to (n) = base + dropout of FROM (n), which are row R's elements from FIRST on; base NULL: nothing
// is added, to may be base. Z without rows: nothing is dropped.
static void drop(float *to, const float *base, const float *from, const dropout_shape *z, int64_t r,
                 int64_t first, int64_t n) {
    if (z->rows) {
        dropout_row_cpu(to, base, from, z, r, first, n);
    } else if (base) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) to[i] = base[i] + from[i];
    } else {
        memcpy(to, from, (size_t)n * sizeof *to);
    }
}

// Sums in their type, from which all else is computed.
static void sum_row(void *sums, const void *x, const void *y, const dropout_shape *z, int64_t r,
                    dtype type) {
    int64_t D = z->per_sample;
    for (int64_t first = 0; first < D; first += ROW) {
        float buffer[3][ROW];
        int64_t n = row_length(first, D), at = r * D + first;
        const float *a = row_read(buffer[0], x, at, n, type);
        const float *b = row_read(buffer[1], y, at, n, type);
        float *total = row_begin(buffer[2], sums, at, n, 0, type);
        drop(total, a, b, z, r, first, n);
        row_end(sums, at, total, n, type);
    }
}

// Where nobody keeps the sums, they wait in the output for their turn.
void residual_norm_forward_cpu(void *out, void *sum, void *mean, void *rstd, const void *x,
                               const void *y, const void *weight, const void *bias,
                               const dropout_shape *z, double eps, dtype type, stream *s) {
    int64_t D = z->per_sample, step = tile_rows(z);
    void *sums = sum ? sum : out;
    expect_arguments(D, type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < z->samples; first += step) {
        int64_t end = smaller(first + step, z->samples);
        for (int64_t r = first; r < end; r++) sum_row(sums, x, y, z, r, type);
        for (int64_t r = first; r < end; r++) {
            float buffer[2][NORM_WIDTH];
            const float *total = row_read(buffer[0], sums, r * D, D, type);
            float *to = row_begin(buffer[1], out, r * D, D, 0, type);
            norm_row_cpu(to, (float *)mean + r, (float *)rstd + r, total, weight, bias, D, eps);
            row_end(out, r * D, to, D, type);
        }
    }
}

size_t residual_norm_scratch_cpu(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)type, (void)s;
    return SUM_BLOCKS * 2 * (size_t)D * sizeof(float);
}

typedef struct back_task {
    void *dx, *dy;
    const void *dout, *sum;
    const float *mean, *rstd, *weight;
    const dropout_shape *z;
    int acc_x, acc_y;
    dtype type;
} back_task;

// Row R of the gradient d += or = ds m, m by Z.
static void give_row(void *d, const float *ds, const dropout_shape *z, int64_t r, int acc,
                     dtype type) {
    for (int64_t first = 0; first < z->per_sample; first += ROW) {
        float buffer[ROW];
        int64_t n = row_length(first, z->per_sample), at = r * z->per_sample + first;
        float *to = row_begin(buffer, d, at, n, acc, type);
        drop(to, acc ? to : NULL, ds + first, z, r, first, n);
        row_end(d, at, to, n, type);
    }
}

// x may be y: then dy adds to what was just written.
static void back_tile(const back_task *k, float *dw, float *db, int64_t first, int64_t end) {
    float tile[TILE];
    int64_t D = k->z->per_sample;
    const dropout_shape whole = {.per_sample = D};
    bool in_place = k->dx && !k->acc_x && k->type == DTYPE_F32;
    float *ds = in_place ? (float *)k->dx + first * D : tile;
    for (int64_t r = first; r < end; r++) {
        float buffer[2][NORM_WIDTH];
        const float *dout = row_read(buffer[0], k->dout, r * D, D, k->type);
        const float *sum = row_read(buffer[1], k->sum, r * D, D, k->type);
        norm_row_back_cpu(k->dx || k->dy ? ds + (r - first) * D : NULL, dw, db, dout, sum,
                          k->weight, k->mean[r], k->rstd[r], D, 0);
    }
    for (int64_t r = first; r < end && k->dx && !in_place; r++)
        give_row(k->dx, ds + (r - first) * D, &whole, r, k->acc_x, k->type);
    for (int64_t r = first; r < end && k->dy; r++)
        give_row(k->dy, ds + (r - first) * D, k->z, r, k->acc_y, k->type);
}

void residual_norm_backward_cpu(void *dx, void *dy, void *dweight, void *dbias, const void *dout,
                                const void *sum, const void *mean, const void *rstd,
                                const void *weight, const dropout_shape *z, int acc_x, int acc_y,
                                int acc_weight, int acc_bias, dtype type, void *scratch,
                                stream *s) {
    int64_t D = z->per_sample, blocks = smaller(z->samples, SUM_BLOCKS), step = tile_rows(z);
    const back_task k = {dx, dy, dout, sum, mean, rstd, weight, z, acc_x, acc_y, type};
    float *partial = scratch; // (blocks, 2, D): dweight, dbias
    expect_arguments(D, type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float *dw = partial + block * 2 * D;
        memset(dw, 0, (size_t)(2 * D) * sizeof *dw);
        int64_t end = block_start(z->samples, block + 1, blocks);
        for (int64_t r = block_start(z->samples, block, blocks); r < end; r += step)
            back_tile(&k, dw, dw + D, r, smaller(r + step, end));
    }
    norm_sum_blocks_cpu(dweight, dbias, partial, blocks, D, acc_weight, acc_bias);
}
