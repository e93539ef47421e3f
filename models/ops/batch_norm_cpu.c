// Every kernel is one sweep over the rows, whose channels are contiguous; the sweeps are bound by
// memory. Sums are taken over SUM_BLOCKS blocks of rows, added up in the blocks' order by whoever
// is done.
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

#include <math.h>
#include <string.h>

enum { CHANNELS = 512 }; // handled at once; their sums (8 KB) stay in the first-level cache

static int64_t channels_from(int64_t first, int64_t C) {
    return C - first < CHANNELS ? C - first : CHANNELS;
}

// --- sums ----------------------------------------------------------------------------------------
typedef struct sum_task {
    const float *x, *dy, *y; // y NULL: no ReLU; dy NULL: forward
    const float *mean, *rstd;
    int64_t C;
} sum_task;

// In double, because with a large mean the variance is what remains of two nearly equal numbers.
static void sum_forward(double *restrict sum, double *restrict square, const sum_task *k,
                        int64_t row, int64_t first, int64_t n) {
    const float *restrict x = k->x + row * k->C + first;
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        double v = (double)x[c];
        sum[c] += v;
        square[c] += v * v;
    }
}

// A loop of its own: inside a longer one gcc makes the condition a branch, which costs three times all else.
static void mask_row(float *restrict dz, const float *restrict dy, const float *restrict y,
                     int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) dz[c] = y[c] > 0 ? dy[c] : 0;
}

static void sum_backward(double *restrict sum, double *restrict product, const sum_task *k,
                         int64_t row, int64_t first, int64_t n) {
    int64_t at = row * k->C + first;
    const float *restrict x = k->x + at, *restrict dy = k->dy + at;
    const float *restrict mean = k->mean + first, *restrict rstd = k->rstd + first;
    float masked[CHANNELS];
    if (k->y) {
        mask_row(masked, dy, k->y + at, n);
        dy = masked;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        sum[c] += (double)dy[c];
        product[c] += (double)(dy[c] * ((x[c] - mean[c]) * rstd[c]));
    }
}

// sums (2, C): what the two functions above add up.
static void sum_rows(double *sums, const sum_task *k, int64_t rows) {
    int64_t chunks = (k->C + CHANNELS - 1) / CHANNELS;
    memset(sums, 0, 2 * (size_t)k->C * sizeof *sums);
#pragma omp parallel for ordered schedule(static, 1)
    for (int64_t i = 0; i < chunks * SUM_BLOCKS; i++) {
        int64_t block = i % SUM_BLOCKS, first = i / SUM_BLOCKS * CHANNELS;
        int64_t n = channels_from(first, k->C), end = block_start(rows, block + 1, SUM_BLOCKS);
        double a[CHANNELS], b[CHANNELS];
        memset(a, 0, (size_t)n * sizeof *a);
        memset(b, 0, (size_t)n * sizeof *b);
        for (int64_t row = block_start(rows, block, SUM_BLOCKS); row < end; row++)
            (k->dy ? sum_backward : sum_forward)(a, b, k, row, first, n);
#pragma omp ordered
        for (int64_t c = 0; c < n; c++) {
            sums[first + c] += a[c];
            sums[k->C + first + c] += b[c];
        }
    }
}

void batch_norm_sums_cpu(double *sums, const void *inp, int64_t rows, int64_t C, dtype type,
                         stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    sum_rows(sums, &(sum_task){.x = inp, .C = C}, rows);
}

void batch_norm_backward_sums_cpu(double *sums, const void *dout, const void *out, const void *inp,
                                  const void *mean, const void *rstd, int64_t rows, int64_t C,
                                  int relu, dtype type, stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    sum_task k = {.x = inp, .dy = dout, .y = relu ? out : NULL, .mean = mean, .rstd = rstd, .C = C};
    sum_rows(sums, &k, rows);
}

// --- statistics ----------------------------------------------------------------------------------
static void move_towards(float *running, double value, double momentum) {
    *running = (float)((1 - momentum) * (double)*running + momentum * value);
}

void batch_norm_statistics_cpu(void *mean, void *rstd, void *running_mean, void *running_var,
                               const double *sums, double count, double eps, double momentum,
                               int64_t C, dtype type, stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    for (int64_t c = 0; c < C; c++) {
        double m = sums[c] / count, var = sums[C + c] / count - m * m;
        var = var < 0 ? 0 : var; // rounding of a constant channel; NaN stays
        ((float *)mean)[c] = (float)m;
        ((float *)rstd)[c] = (float)(1 / sqrt(var + eps));
        if (running_mean) move_towards((float *)running_mean + c, m, momentum);
        // A single row has no unbiased variance.
        double unbiased = count > 1 ? var * count / (count - 1) : var;
        if (running_var) move_towards((float *)running_var + c, unbiased, momentum);
    }
}

void batch_norm_rstd_cpu(void *rstd, const void *running_var, double eps, int64_t C, dtype type,
                         stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    for (int64_t c = 0; c < C; c++)
        ((float *)rstd)[c] = (float)(1 / sqrt((double)((const float *)running_var)[c] + eps));
}

// --- forward -------------------------------------------------------------------------------------
// (x - mean) first: x scale + shift would lose the digits that a large mean takes.
static void apply_row(float *restrict y, const float *restrict x, const float *restrict residual,
                      const float *restrict mean, const float *restrict scale,
                      const float *restrict bias, float low, int64_t n) {
    if (residual) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            float v = (x[c] - mean[c]) * scale[c] + bias[c] + residual[c];
            y[c] = v < low ? low : v;
        }
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float v = (x[c] - mean[c]) * scale[c] + bias[c];
        y[c] = v < low ? low : v;
    }
}

void batch_norm_apply_cpu(void *out, const void *inp, const void *residual, const void *mean,
                          const void *rstd, const void *weight, const void *bias, int64_t rows,
                          int64_t C, int relu, dtype type, stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    float low = relu ? 0 : -INFINITY;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++)
        for (int64_t first = 0; first < C; first += CHANNELS) {
            int64_t n = channels_from(first, C), end = block_start(rows, block + 1, SUM_BLOCKS);
            float scale[CHANNELS];
            for (int64_t c = 0; c < n; c++)
                scale[c] = ((const float *)rstd)[first + c] * ((const float *)weight)[first + c];
            for (int64_t row = block_start(rows, block, SUM_BLOCKS); row < end; row++) {
                int64_t at = row * C + first;
                apply_row((float *)out + at, (const float *)inp + at,
                          residual ? (const float *)residual + at : NULL,
                          (const float *)mean + first, scale, (const float *)bias + first, low, n);
            }
        }
}

// --- backward ------------------------------------------------------------------------------------
void batch_norm_backward_params_cpu(void *dweight, void *dbias, const double *sums, int64_t C,
                                    int acc_weight, int acc_bias, dtype type, stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    float *dw = dweight, *db = dbias;
    for (int64_t c = 0; c < C; c++) {
        if (db) db[c] = (float)(sums[c] + (acc_bias ? (double)db[c] : 0));
        if (dw) dw[c] = (float)(sums[C + c] + (acc_weight ? (double)dw[c] : 0));
    }
}

// dx = scale (dz - (shift + (x - mean) slope)), the rule's formula with what does not change from
// row to row taken out.
typedef struct back_terms {
    float scale[CHANNELS], shift[CHANNELS], slope[CHANNELS];
} back_terms;

static void back_terms_fill(back_terms *k, const float *rstd, const float *weight,
                            const double *sums, double count, int64_t C, int64_t n) {
    for (int64_t c = 0; c < n; c++) {
        k->scale[c] = rstd[c] * weight[c];
        k->shift[c] = sums ? (float)(sums[c] / count) : 0;
        k->slope[c] = sums ? (float)(sums[C + c] / count * (double)rstd[c]) : 0;
    }
}

static void give_row(float *restrict to, const float *restrict from, int acc, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) to[c] = from[c] + (acc ? to[c] : 0);
}

static void input_row(float *restrict dx, const float *restrict dz, const float *restrict x,
                      const float *restrict mean, const back_terms *restrict k, int acc,
                      int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float d = k->scale[c] * (dz[c] - (k->shift[c] + (x[c] - mean[c]) * k->slope[c]));
        dx[c] = acc ? dx[c] + d : d;
    }
}

static void fixed_row(float *restrict dx, const float *restrict dz, const back_terms *restrict k,
                      int acc, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float d = k->scale[c] * dz[c];
        dx[c] = acc ? dx[c] + d : d;
    }
}

// dresidual after dinp: where x is its own residual both are the same memory, and the second adds.
void batch_norm_backward_apply_cpu(void *dinp, void *dresidual, const void *dout, const void *out,
                                   const void *inp, const void *mean, const void *rstd,
                                   const void *weight, const double *sums, double count,
                                   int64_t rows, int64_t C, int relu, int acc_inp, int acc_residual,
                                   dtype type, stream *s) {
    cpu_expect_f32("batch_norm", type);
    (void)s;
    float *dx = dinp, *dr = dresidual;
    const float *x = inp, *m = mean;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++)
        for (int64_t first = 0; first < C; first += CHANNELS) {
            int64_t n = channels_from(first, C), end = block_start(rows, block + 1, SUM_BLOCKS);
            float masked[CHANNELS];
            back_terms k;
            back_terms_fill(&k, (const float *)rstd + first, (const float *)weight + first,
                            sums ? sums + first : NULL, count, C, n);
            for (int64_t row = block_start(rows, block, SUM_BLOCKS); row < end; row++) {
                int64_t at = row * C + first;
                const float *dz = (const float *)dout + at;
                if (relu) {
                    mask_row(masked, dz, (const float *)out + at, n);
                    dz = masked;
                }
                if (dx && sums) input_row(dx + at, dz, x + at, m + first, &k, acc_inp, n);
                if (dx && !sums) fixed_row(dx + at, dz, &k, acc_inp, n);
                if (dr) give_row(dr + at, dz, acc_residual, n);
            }
        }
}
