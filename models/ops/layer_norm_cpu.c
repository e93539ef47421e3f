#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <math.h>

// Sums go over LANES numbers side by side, in an order that the code fixes: the same on any
// instruction set, and vector code on most.
enum { LANES = 16 };

// The widest row in bf16, which passes through the stack.
enum { NORM_WIDTH = 8192 };

static void expect_arguments(int64_t D, dtype type) {
    cpu_expect("layer_norm", type);
    if (D > NORM_WIDTH && type != DTYPE_F32)
        die("layer_norm: rows of %lld, expected at most %d", (long long)D, NORM_WIDTH);
}

static double sum_lanes(const double lane[LANES]) {
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static double row_sum(const float *x, int64_t n) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += (double)x[i];
    return sum_lanes(lane);
}

static double row_squares(const float *x, float mean, int64_t n) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float d = x[i + l] - mean;
            lane[l] += (double)d * (double)d;
        }
    for (int l = 0; i < n; i++, l++)
        lane[l] += ((double)x[i] - (double)mean) * ((double)x[i] - (double)mean);
    return sum_lanes(lane);
}

void layer_norm_forward_cpu(void *out, void *mean, void *rstd, const void *inp, const void *weight,
                            const void *bias, int64_t rows, int64_t D, double eps, dtype type,
                            stream *s) {
    expect_arguments(D, type);
    (void)s;
    const float *w = weight, *b = bias;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float buffer[2][NORM_WIDTH];
        const float *x = row_read(buffer[0], inp, r * D, D, type);
        float *y = row_begin(buffer[1], out, r * D, D, 0, type);
        // The mean is subtracted before squaring; where it is large, what its rounding to float
        // costs is corrected in the variance and in the output.
        double m = row_sum(x, D) / (double)D;
        float shift = (float)m, rest = (float)(m - (double)shift);
        double var = row_squares(x, shift, D) / (double)D - (double)rest * (double)rest;
        float scale = (float)(1 / sqrt(fmax(var, 0) + eps));
        ((float *)mean)[r] = shift;
        ((float *)rstd)[r] = scale;
        for (int64_t i = 0; i < D; i++) y[i] = (x[i] - shift - rest) * scale * w[i] + b[i];
        row_end(out, r * D, y, D, type);
    }
}

size_t layer_norm_scratch_cpu(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)type, (void)s;
    return SUM_BLOCKS * 2 * (size_t)D * sizeof(float);
}

// dx of one row, and its part of the block's sums.
static void backward_row(float *dx, float *dw, float *db, const float *dy, const float *x,
                         const float *w, float mean, float rstd, int64_t D, int acc) {
    double sum[LANES] = {0}, dot[LANES] = {0};
    if (dx) {
        int64_t i = 0;
        for (; i + LANES <= D; i += LANES)
            for (int l = 0; l < LANES; l++) {
                float g = dy[i + l] * w[i + l];
                sum[l] += (double)g;
                dot[l] += (double)(g * ((x[i + l] - mean) * rstd));
            }
        for (int l = 0; i < D; i++, l++) {
            float g = dy[i] * w[i];
            sum[l] += (double)g;
            dot[l] += (double)(g * ((x[i] - mean) * rstd));
        }
        float mean_g = (float)(sum_lanes(sum) / (double)D);
        float mean_gh = (float)(sum_lanes(dot) / (double)D);
        for (i = 0; i < D; i++) {
            float d = rstd * (dy[i] * w[i] - mean_g - (x[i] - mean) * rstd * mean_gh);
            dx[i] = acc ? dx[i] + d : d;
        }
    }
    for (int64_t i = 0; i < D; i++) {
        dw[i] += dy[i] * ((x[i] - mean) * rstd);
        db[i] += dy[i];
    }
}

// Adds the blocks' sums, in their order.
static void sum_blocks(float *dweight, const float *partial, int64_t blocks, int64_t D, int acc) {
    if (!dweight) return;
    for (int64_t i = 0; i < D; i++) {
        double sum = acc ? (double)dweight[i] : 0;
        for (int64_t block = 0; block < blocks; block++) sum += (double)partial[block * 2 * D + i];
        dweight[i] = (float)sum;
    }
}

void layer_norm_backward_cpu(void *dinp, void *dweight, void *dbias, const void *dout,
                             const void *inp, const void *mean, const void *rstd,
                             const void *weight, int64_t rows, int64_t D, int acc_inp,
                             int acc_weight, int acc_bias, dtype type, void *scratch, stream *s) {
    expect_arguments(D, type);
    (void)s;
    float *partial = scratch; // (blocks, 2, D): dweight, dbias
    int64_t blocks = rows < SUM_BLOCKS ? rows : SUM_BLOCKS;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float *dw = partial + block * 2 * D, *db = dw + D;
        for (int64_t i = 0; i < 2 * D; i++) dw[i] = 0;
        int64_t end = block_start(rows, block + 1, blocks);
        for (int64_t r = block_start(rows, block, blocks); r < end; r++) {
            float buffer[3][NORM_WIDTH];
            const float *dy = row_read(buffer[0], dout, r * D, D, type);
            const float *x = row_read(buffer[1], inp, r * D, D, type);
            float *dx = dinp ? row_begin(buffer[2], dinp, r * D, D, acc_inp, type) : NULL;
            backward_row(dx, dw, db, dy, x, weight, ((const float *)mean)[r],
                         ((const float *)rstd)[r], D, acc_inp);
            if (dx) row_end(dinp, r * D, dx, D, type);
        }
    }
    sum_blocks(dweight, partial, blocks, D, acc_weight);
    sum_blocks(dbias, partial + D, blocks, D, acc_bias);
}
