// Formulas are those of rms_norm.c. A row passes through the stack once on its way.
#include "models/ops/kernels.h"
#include "models/ops/norm_cpu.h"

#include <math.h>
#include <string.h>

// Sums go over LANES numbers side by side, in an order that the code fixes.
enum { LANES = 16 };

static void expect_arguments(int64_t D, dtype type) {
    cpu_expect("rms_norm", type);
    if (D > NORM_WIDTH)
        die("rms_norm: rows of %lld, expected at most %d", (long long)D, NORM_WIDTH);
}

static double sum_lanes(const double lane[LANES]) {
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static double row_squares(const float *x, int64_t n) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += (double)x[i] * (double)x[i];
    return sum_lanes(lane);
}

// Row R of x + y as its type holds it, in BUFFER or where it lies.
static const float *sum_row(float *buffer, void *sum, const void *x, const void *y, int64_t r,
                            int64_t D, dtype type) {
    if (!y) return row_read(buffer, x, r * D, D, type);
    for (int64_t first = 0; first < D; first += ROW) {
        float narrow[3][ROW];
        const int64_t n = row_length(first, D), at = r * D + first;
        const float *a = row_read(narrow[0], x, at, n, type);
        const float *b = row_read(narrow[1], y, at, n, type);
        float *to = row_begin(narrow[2], sum, at, n, 0, type);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) to[i] = a[i] + b[i];
        row_end(sum, at, to, n, type);
    }
    return row_read(buffer, sum, r * D, D, type);
}

void rms_norm_forward_cpu(void *out, void *sum, void *rstd, const void *x, const void *y,
                          const void *weight, int64_t rows, int64_t D, double eps, dtype type,
                          stream *s) {
    const float *w = weight;
    expect_arguments(D, type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float buffer[2][NORM_WIDTH];
        const float *total = sum_row(buffer[0], sum, x, y, r, D, type);
        float *to = row_begin(buffer[1], out, r * D, D, 0, type);
        const float scale = (float)(1 / sqrt(row_squares(total, D) / (double)D + eps));
        ((float *)rstd)[r] = scale;
#pragma omp simd
        for (int64_t i = 0; i < D; i++) to[i] = total[i] * scale * w[i];
        row_end(out, r * D, to, D, type);
    }
}

size_t rms_norm_scratch_cpu(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)type, (void)s;
    return SUM_BLOCKS * (size_t)D * sizeof(float);
}

typedef struct back_task {
    void *dx, *dy;
    const void *dout, *dsum, *sum;
    const float *rstd, *weight;
    int64_t D;
    int acc_x, acc_y;
    dtype type;
} back_task;

// The sum of g h.
static double row_dot(const float *restrict dy, const float *restrict x, const float *restrict w,
                      float scale, int64_t D) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= D; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += (double)(dy[i + l] * w[i + l] * (x[i + l] * scale));
    for (int l = 0; i < D; i++, l++) lane[l] += (double)(dy[i] * w[i] * (x[i] * scale));
    return sum_lanes(lane);
}

static void give_row(void *d, const float *ds, int64_t at, int64_t D, int acc, dtype type) {
    for (int64_t first = 0; first < D; first += ROW) {
        float narrow[ROW];
        const int64_t n = row_length(first, D);
        float *to = row_begin(narrow, d, at + first, n, acc, type);
        const float *from = ds + first;
        if (acc)
#pragma omp simd
            for (int64_t i = 0; i < n; i++) to[i] += from[i];
        else
            memcpy(to, from, (size_t)n * sizeof *to);
        row_end(d, at + first, to, n, type);
    }
}

// x may be y: then dy adds to what was just written. DW (D) NULL: not wanted.
static void back_row(const back_task *k, float *restrict dw, int64_t r) {
    float buffer[3][NORM_WIDTH], ds[NORM_WIDTH];
    const int64_t D = k->D, at = r * D;
    const float scale = k->rstd[r], *w = k->weight;
    const float *dout = row_read(buffer[0], k->dout, at, D, k->type);
    const float *x = row_read(buffer[1], k->sum, at, D, k->type);
    if (dw)
#pragma omp simd
        for (int64_t i = 0; i < D; i++) dw[i] += dout[i] * (x[i] * scale);
    if (!k->dx && !k->dy) return;
    const float mean = (float)(row_dot(dout, x, w, scale, D) / (double)D);
    const float *dsum = k->dsum ? row_read(buffer[2], k->dsum, at, D, k->type) : NULL;
    if (dsum)
#pragma omp simd
        for (int64_t i = 0; i < D; i++)
            ds[i] = dsum[i] + scale * (dout[i] * w[i] - x[i] * scale * mean);
    else
#pragma omp simd
        for (int64_t i = 0; i < D; i++) ds[i] = scale * (dout[i] * w[i] - x[i] * scale * mean);
    if (k->dx) give_row(k->dx, ds, at, D, k->acc_x, k->type);
    if (k->dy) give_row(k->dy, ds, at, D, k->acc_y, k->type);
}

static void sum_blocks(float *dweight, const float *partial, int64_t blocks, int64_t D, int acc) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < D; i++) {
        double sum = acc ? (double)dweight[i] : 0;
        for (int64_t block = 0; block < blocks; block++) sum += (double)partial[block * D + i];
        dweight[i] = (float)sum;
    }
}

void rms_norm_backward_cpu(void *dx, void *dy, void *dweight, const void *dout, const void *dsum,
                           const void *sum, const void *rstd, const void *weight, int64_t rows,
                           int64_t D, int acc_x, int acc_y, int acc_weight, dtype type,
                           void *scratch, stream *s) {
    const back_task k = {dx, dy, dout, dsum, sum, rstd, weight, D, acc_x, acc_y, type};
    const int64_t blocks = rows < SUM_BLOCKS ? rows : SUM_BLOCKS;
    float *partial = scratch; // (blocks, D)
    expect_arguments(D, type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float *dw = dweight ? partial + block * D : NULL;
        if (dw) memset(dw, 0, (size_t)D * sizeof *dw);
        const int64_t end = block_start(rows, block + 1, blocks);
        for (int64_t r = block_start(rows, block, blocks); r < end; r++) back_row(&k, dw, r);
    }
    if (dweight) sum_blocks(dweight, partial, blocks, D, acc_weight);
}
