#include "models/ops/norm_cpu.h"

#include <math.h>

// Sums go over LANES numbers side by side, in an order that the code fixes: the same on any
// instruction set, and vector code on most.
enum { LANES = 16 };

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

void norm_row_cpu(float *y, float *mean, float *rstd, const float *x, const float *w,
                  const float *b, int64_t D, double eps) {
    // The mean is subtracted before squaring; where it is large, what its rounding to float
    // costs is corrected in the variance and in the output.
    double m = row_sum(x, D) / (double)D;
    float shift = (float)m, rest = (float)(m - (double)shift);
    double var = row_squares(x, shift, D) / (double)D - (double)rest * (double)rest;
    float scale = (float)(1 / sqrt(fmax(var, 0) + eps));
    *mean = shift;
    *rstd = scale;
#pragma omp simd
    for (int64_t i = 0; i < D; i++) y[i] = (x[i] - shift - rest) * scale * w[i] + b[i];
}

// dw, db, and the sums of g = dy w and of g h: one sweep for all four.
static void sums_of_row(float *restrict dw, float *restrict db, double sums[2],
                        const float *restrict dy, const float *restrict x, const float *restrict w,
                        float mean, float rstd, int64_t D) {
    double sum[LANES] = {0}, dot[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= D; i += LANES)
        for (int l = 0; l < LANES; l++) {
            float h = (x[i + l] - mean) * rstd, g = dy[i + l] * w[i + l];
            dw[i + l] += dy[i + l] * h;
            db[i + l] += dy[i + l];
            sum[l] += (double)g;
            dot[l] += (double)(g * h);
        }
    for (int l = 0; i < D; i++, l++) {
        float h = (x[i] - mean) * rstd, g = dy[i] * w[i];
        dw[i] += dy[i] * h;
        db[i] += dy[i];
        sum[l] += (double)g;
        dot[l] += (double)(g * h);
    }
    sums[0] = sum_lanes(sum);
    sums[1] = sum_lanes(dot);
}

void norm_row_back_cpu(float *dx, float *dw, float *db, const float *dy, const float *x,
                       const float *w, float mean, float rstd, int64_t D, int acc) {
    double sums[2];
    sums_of_row(dw, db, sums, dy, x, w, mean, rstd, D);
    if (!dx) return;
    float mean_g = (float)(sums[0] / (double)D), mean_gh = (float)(sums[1] / (double)D);
#pragma omp simd
    for (int64_t i = 0; i < D; i++) {
        float d = rstd * (dy[i] * w[i] - mean_g - (x[i] - mean) * rstd * mean_gh);
        dx[i] = acc ? dx[i] + d : d;
    }
}

static void sum_blocks(float *dweight, const float *partial, int64_t blocks, int64_t D, int acc) {
    if (!dweight) return;
    for (int64_t i = 0; i < D; i++) {
        double sum = acc ? (double)dweight[i] : 0;
        for (int64_t block = 0; block < blocks; block++) sum += (double)partial[block * 2 * D + i];
        dweight[i] = (float)sum;
    }
}

void norm_sum_blocks_cpu(float *dweight, float *dbias, const float *partial, int64_t blocks,
                         int64_t D, int acc_weight, int acc_bias) {
    sum_blocks(dweight, partial, blocks, D, acc_weight);
    sum_blocks(dbias, partial + D, blocks, D, acc_bias);
}
