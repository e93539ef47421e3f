// Every kernel is one sweep over the rows, whose channels are contiguous; the sweeps are bound by
// memory. Sums are taken over SUM_BLOCKS blocks of rows, added up in the blocks' order by whoever
// is done.
//
// Narrow rows are taken several at a time as one row of LANES numbers, with the channels' vectors
// repeated beside each other: loops of 64 channels would spend their time at their ends.
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

#include <math.h>

enum { LANES = 512 }; // handled at once; their sums (8 KB) stay in the first-level cache

// What one thread goes over: channels [first, first + width) of a block of rows, UNIT rows at once.
typedef struct sweep {
    int64_t C, first, width, unit, row, end;
} sweep;

static int64_t chunks_of(int64_t C) {
    return (C + LANES - 1) / LANES;
}

// Of chunk CHUNK of the channels and block BLOCK of the rows.
static sweep sweep_make(int64_t rows, int64_t C, int64_t block, int64_t chunk) {
    int64_t first = chunk * LANES, width = C - first < LANES ? C - first : LANES;
    return (sweep){.C = C,
                   .first = first,
                   .width = width,
                   .unit = C <= LANES / 2 ? LANES / C : 1,
                   .row = block_start(rows, block, SUM_BLOCKS),
                   .end = block_start(rows, block + 1, SUM_BLOCKS)};
}

// Where the next numbers are and how many; 0 at the end.
static int64_t sweep_next(sweep *w, int64_t *at) {
    int64_t rows = w->end - w->row < w->unit ? w->end - w->row : w->unit;
    *at = w->row * w->C + w->first;
    w->row += rows;
    return rows * w->width;
}

// A channels' vector, repeated for UNIT rows.
static void repeat(float *restrict lane, const float *vector, const sweep *w) {
    for (int64_t u = 0; u < w->unit; u++)
        memcpy(lane + u * w->width, vector + w->first, (size_t)w->width * sizeof *lane);
}

// --- sums ----------------------------------------------------------------------------------------
// In double, because with a large mean the variance is what remains of two nearly equal numbers.
static void sum_forward(double *restrict sum, double *restrict square, const float *restrict x,
                        int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        double v = (double)x[c];
        sum[c] += v;
        square[c] += v * v;
    }
}

// A loop of its own: inside a longer one gcc makes the condition a branch, which costs three times
// all else.
static void mask_row(float *restrict dz, const float *restrict dy, const float *restrict y,
                     int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) dz[c] = y[c] > 0 ? dy[c] : 0;
}

static void sum_backward(double *restrict sum, double *restrict product, const float *restrict dz,
                         const float *restrict x, const float *restrict mean,
                         const float *restrict rstd, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        sum[c] += (double)dz[c];
        product[c] += (double)(dz[c] * ((x[c] - mean[c]) * rstd[c]));
    }
}

typedef struct sum_task {
    const void *x, *dy, *y; // y NULL: no ReLU; dy NULL: forward
    const float *mean, *rstd;
    dtype type;
} sum_task;

static void sum_sweep(double *restrict a, double *restrict b, const sum_task *k, sweep w) {
    float mean[LANES], rstd[LANES], buffer[3][LANES], masked[LANES];
    if (k->dy) repeat(mean, k->mean, &w);
    if (k->dy) repeat(rstd, k->rstd, &w);
    int64_t at;
    for (int64_t n; (n = sweep_next(&w, &at)) > 0;) {
        const float *x = row_read(buffer[0], k->x, at, n, k->type);
        if (!k->dy) {
            sum_forward(a, b, x, n);
            continue;
        }
        const float *dz = row_read(buffer[1], k->dy, at, n, k->type);
        if (k->y) {
            mask_row(masked, dz, row_read(buffer[2], k->y, at, n, k->type), n);
            dz = masked;
        }
        sum_backward(a, b, dz, x, mean, rstd, n);
    }
}

// sums (2, C): what the two functions above add up.
static void sum_rows(double *sums, const sum_task *k, int64_t rows, int64_t C) {
    memset(sums, 0, 2 * (size_t)C * sizeof *sums);
#pragma omp parallel for ordered schedule(static, 1)
    for (int64_t i = 0; i < chunks_of(C) * SUM_BLOCKS; i++) {
        double a[LANES] = {0}, b[LANES] = {0};
        sweep w = sweep_make(rows, C, i % SUM_BLOCKS, i / SUM_BLOCKS);
        sum_sweep(a, b, k, w);
#pragma omp ordered
        for (int64_t l = 0; l < w.unit * w.width; l++) {
            sums[w.first + l % w.width] += a[l];
            sums[C + w.first + l % w.width] += b[l];
        }
    }
}

void batch_norm_sums_cpu(double *sums, const void *inp, int64_t rows, int64_t C, dtype type,
                         stream *s) {
    cpu_expect("batch_norm", type);
    (void)s;
    sum_rows(sums, &(sum_task){.x = inp, .type = type}, rows, C);
}

void batch_norm_backward_sums_cpu(double *sums, const void *dout, const void *out, const void *inp,
                                  const void *mean, const void *rstd, int64_t rows, int64_t C,
                                  int relu, dtype type, stream *s) {
    cpu_expect("batch_norm", type);
    (void)s;
    sum_task k = {inp, dout, relu ? out : NULL, mean, rstd, type};
    sum_rows(sums, &k, rows, C);
}

// --- statistics ----------------------------------------------------------------------------------
static void move_towards(float *running, double value, double momentum) {
    *running = (float)((1 - momentum) * (double)*running + momentum * value);
}

void batch_norm_statistics_cpu(void *mean, void *rstd, void *running_mean, void *running_var,
                               const double *sums, double count, double eps, double momentum,
                               int64_t C, dtype type, stream *s) {
    cpu_expect("batch_norm", type);
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
    cpu_expect("batch_norm", type);
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
    cpu_expect("batch_norm", type);
    (void)s;
    float low = relu ? 0 : -INFINITY;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++)
        for (int64_t chunk = 0; chunk < chunks_of(C); chunk++) {
            float center[LANES], scale[LANES], gain[LANES], shift[LANES], buffer[3][LANES];
            sweep w = sweep_make(rows, C, block, chunk);
            repeat(center, mean, &w);
            repeat(scale, rstd, &w);
            repeat(gain, weight, &w);
            repeat(shift, bias, &w);
            for (int64_t l = 0; l < w.unit * w.width; l++) scale[l] *= gain[l];
            int64_t at;
            for (int64_t n; (n = sweep_next(&w, &at)) > 0;) {
                const float *x = row_read(buffer[0], inp, at, n, type);
                const float *r = residual ? row_read(buffer[1], residual, at, n, type) : NULL;
                float *y = row_begin(buffer[2], out, at, n, 0, type);
                apply_row(y, x, r, center, scale, shift, low, n);
                row_end(out, at, y, n, type);
            }
        }
}

// --- backward ------------------------------------------------------------------------------------
void batch_norm_backward_params_cpu(void *dweight, void *dbias, const double *sums, int64_t C,
                                    int acc_weight, int acc_bias, dtype type, stream *s) {
    cpu_expect("batch_norm", type);
    (void)s;
    float *dw = dweight, *db = dbias;
    for (int64_t c = 0; c < C; c++) {
        if (db) db[c] = (float)(sums[c] + (acc_bias ? (double)db[c] : 0));
        if (dw) dw[c] = (float)(sums[C + c] + (acc_weight ? (double)dw[c] : 0));
    }
}

// dx = scale (dz - (shift + (x - mean) slope)), the rule's formula with what does not change from
// row to row taken out. With fixed statistics (sums NULL) shift and slope are 0.
typedef struct back_terms {
    float mean[LANES], scale[LANES], shift[LANES], slope[LANES];
} back_terms;

static void back_terms_fill(back_terms *k, const float *mean, const float *rstd,
                            const float *weight, const double *sums, double count, const sweep *w) {
    for (int64_t l = 0; l < w->unit * w->width; l++) {
        int64_t c = w->first + l % w->width;
        k->mean[l] = mean[c];
        k->scale[l] = rstd[c] * weight[c];
        k->shift[l] = sums ? (float)(sums[c] / count) : 0;
        k->slope[l] = sums ? (float)(sums[w->C + c] / count * (double)rstd[c]) : 0;
    }
}

static void give_row(float *restrict to, const float *restrict from, int acc, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) to[c] = from[c] + (acc ? to[c] : 0);
}

static void input_row(float *restrict dx, const float *restrict dz, const float *restrict x,
                      const back_terms *restrict k, int acc, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float d = k->scale[c] * (dz[c] - (k->shift[c] + (x[c] - k->mean[c]) * k->slope[c]));
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

typedef struct back_task {
    void *dinp, *dresidual;
    const void *dout, *out, *inp; // out NULL: no ReLU
    int acc_inp, acc_residual;
    bool fixed;
    dtype type;
} back_task;

// dresidual after dinp: where x is its own residual both are the same memory, and the second adds.
static void back_sweep(const back_task *k, const back_terms *terms, sweep w) {
    float masked[LANES], buffer[3][LANES];
    int64_t at;
    for (int64_t n; (n = sweep_next(&w, &at)) > 0;) {
        const float *dz = row_read(buffer[0], k->dout, at, n, k->type);
        if (k->out) {
            mask_row(masked, dz, row_read(buffer[1], k->out, at, n, k->type), n);
            dz = masked;
        }
        if (k->dinp) {
            float *dx = row_begin(buffer[2], k->dinp, at, n, k->acc_inp, k->type);
            if (k->fixed)
                fixed_row(dx, dz, terms, k->acc_inp, n);
            else
                input_row(dx, dz, row_read(buffer[1], k->inp, at, n, k->type), terms, k->acc_inp, n);
            row_end(k->dinp, at, dx, n, k->type);
        }
        if (k->dresidual) {
            float *dr = row_begin(buffer[2], k->dresidual, at, n, k->acc_residual, k->type);
            give_row(dr, dz, k->acc_residual, n);
            row_end(k->dresidual, at, dr, n, k->type);
        }
    }
}

void batch_norm_backward_apply_cpu(void *dinp, void *dresidual, const void *dout, const void *out,
                                   const void *inp, const void *mean, const void *rstd,
                                   const void *weight, const double *sums, double count,
                                   int64_t rows, int64_t C, int relu, int acc_inp, int acc_residual,
                                   dtype type, stream *s) {
    cpu_expect("batch_norm", type);
    (void)s;
    const back_task task = {dinp,    dresidual,    dout,  relu ? out : NULL, inp,
                            acc_inp, acc_residual, !sums, type};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++)
        for (int64_t chunk = 0; chunk < chunks_of(C); chunk++) {
            sweep w = sweep_make(rows, C, block, chunk);
            back_terms terms;
            back_terms_fill(&terms, mean, rstd, weight, sums, count, &w);
            back_sweep(&task, &terms, w);
        }
}
