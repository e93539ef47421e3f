// Every kernel is one sweep over the rows, whose channels are contiguous; the sweeps are bound by
// memory. Sums are taken over SUM_BLOCKS blocks of rows, added up in the blocks' order by whoever
// is done.
//
// Narrow rows are taken several at a time as one row of LANES numbers, with the channels' vectors
// repeated beside each other: loops of 64 channels would spend their time at their ends.
#include "models/ops/kernels.h"
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
// Sums of a few rows in single precision before they go into those in double: products of bf16 numbers
// are exact in single precision, and so, nearly, are FEW of them together.
enum { FEW = 8 };

// In double at once where numbers are single, because with a large mean the variance is what remains of
// two nearly equal numbers.
static void sum_forward_f32(double *restrict sum, double *restrict square, const float *restrict x,
                            int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        double v = (double)x[c];
        sum[c] += v;
        square[c] += v * v;
    }
}

static void sum_forward_bf16(float *restrict sum, float *restrict square, const uint16_t *restrict x,
                             int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float v = bf16_widen(x[c]);
        sum[c] += v;
        square[c] += v * v;
    }
}

// y NULL: no ReLU.
TYPED void sum_backward(float *restrict sum, float *restrict product, const void *dy, const void *y,
                        const void *x, const float *restrict mean, const float *restrict rstd,
                        int64_t n, dtype type) {
    if (y) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            float dz = number_read(y, c, type) > 0 ? number_read(dy, c, type) : 0;
            sum[c] += dz;
            product[c] += dz * ((number_read(x, c, type) - mean[c]) * rstd[c]);
        }
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float dz = number_read(dy, c, type);
        sum[c] += dz;
        product[c] += dz * ((number_read(x, c, type) - mean[c]) * rstd[c]);
    }
}

typedef struct sum_task {
    const void *x, *dy, *y; // y NULL: no ReLU; dy NULL: forward
    const float *mean, *rstd;
    dtype type;
} sum_task;

static void sum_some(float *restrict few, const sum_task *k, int64_t at, const float *mean,
                     const float *rstd, int64_t n) {
    float *a = few, *b = few + LANES;
    const void *x = element(k->x, at, k->type), *dy = element(k->dy, at, k->type);
    const void *y = k->y ? element(k->y, at, k->type) : NULL;
    if (!k->dy)
        sum_forward_bf16(a, b, x, n);
    else if (k->type == DTYPE_F32)
        sum_backward(a, b, dy, y, x, mean, rstd, n, DTYPE_F32);
    else
        sum_backward(a, b, dy, y, x, mean, rstd, n, DTYPE_BF16);
}

// sums (2, LANES) of the sweep.
static void sum_sweep(double *restrict sums, const sum_task *k, sweep w) {
    float mean[LANES], rstd[LANES];
    if (k->dy) repeat(mean, k->mean, &w);
    if (k->dy) repeat(rstd, k->rstd, &w);
    int64_t at, n = sweep_next(&w, &at);
    if (!k->dy && k->type == DTYPE_F32) {
        for (; n > 0; n = sweep_next(&w, &at))
            sum_forward_f32(sums, sums + LANES, (const float *)k->x + at, n);
        return;
    }
    while (n > 0) {
        float few[2 * LANES] = {0};
        for (int i = 0; i < FEW && n > 0; i++, n = sweep_next(&w, &at))
            sum_some(few, k, at, mean, rstd, n);
        for (int64_t l = 0; l < 2 * LANES; l++) sums[l] += (double)few[l];
    }
}

// sums (2 C + 1): what the functions above add up, and the number of rows.
static void sum_rows(double *sums, const sum_task *k, int64_t rows, int64_t C) {
    memset(sums, 0, 2 * (size_t)C * sizeof *sums);
    sums[2 * C] = (double)rows;
#pragma omp parallel for ordered schedule(static, 1)
    for (int64_t i = 0; i < chunks_of(C) * SUM_BLOCKS; i++) {
        double part[2 * LANES] = {0};
        sweep w = sweep_make(rows, C, i % SUM_BLOCKS, i / SUM_BLOCKS);
        sum_sweep(part, k, w);
#pragma omp ordered
        for (int64_t l = 0; l < w.unit * w.width; l++) {
            sums[w.first + l % w.width] += part[l];
            sums[C + w.first + l % w.width] += part[LANES + l];
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
                               const double *sums, double eps, double momentum, int64_t C,
                               dtype type, stream *s) {
    cpu_expect("batch_norm", type);
    (void)s;
    const double count = sums[2 * C];
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
TYPED void apply_row(void *y, const void *x, const void *residual, const float *restrict mean,
                     const float *restrict scale, const float *restrict bias, float low, int64_t n,
                     dtype type) {
    if (residual) {
#pragma omp simd
        for (int64_t c = 0; c < n; c++) {
            float v = (number_read(x, c, type) - mean[c]) * scale[c] + bias[c];
            v += number_read(residual, c, type);
            number_write(y, c, v < low ? low : v, type);
        }
        return;
    }
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float v = (number_read(x, c, type) - mean[c]) * scale[c] + bias[c];
        number_write(y, c, v < low ? low : v, type);
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
            float center[LANES], scale[LANES], gain[LANES], shift[LANES];
            sweep w = sweep_make(rows, C, block, chunk);
            repeat(center, mean, &w);
            repeat(scale, rstd, &w);
            repeat(gain, weight, &w);
            repeat(shift, bias, &w);
            for (int64_t l = 0; l < w.unit * w.width; l++) scale[l] *= gain[l];
            int64_t at;
            for (int64_t n; (n = sweep_next(&w, &at)) > 0;) {
                const void *x = element(inp, at, type);
                const void *r = residual ? element(residual, at, type) : NULL;
                void *y = element(out, at, type);
                if (type == DTYPE_F32)
                    apply_row(y, x, r, center, scale, shift, low, n, DTYPE_F32);
                else
                    apply_row(y, x, r, center, scale, shift, low, n, DTYPE_BF16);
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
                            const float *weight, const double *sums, const sweep *w) {
    const double count = sums ? sums[2 * w->C] : 1;
    for (int64_t l = 0; l < w->unit * w->width; l++) {
        int64_t c = w->first + l % w->width;
        k->mean[l] = mean[c];
        k->scale[l] = rstd[c] * weight[c];
        k->shift[l] = sums ? (float)(sums[c] / count) : 0;
        k->slope[l] = sums ? (float)(sums[w->C + c] / count * (double)rstd[c]) : 0;
    }
}

// A loop of its own: inside a longer one gcc makes the condition a branch, which costs three times
// all else.
TYPED void mask_row(float *restrict dz, const void *dy, const void *y, int64_t n, dtype type) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        dz[c] = number_read(y, c, type) > 0 ? number_read(dy, c, type) : 0;
}

TYPED void give_row(void *to, const float *restrict from, int acc, int64_t n, dtype type) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        number_write(to, c, from[c] + (acc ? number_read(to, c, type) : 0), type);
}

TYPED void input_row(void *dx, const float *restrict dz, const void *x, const back_terms *restrict k,
                     int acc, int64_t n, dtype type) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float xc = number_read(x, c, type) - k->mean[c];
        float d = k->scale[c] * (dz[c] - (k->shift[c] + xc * k->slope[c]));
        number_write(dx, c, acc ? number_read(dx, c, type) + d : d, type);
    }
}

TYPED void fixed_row(void *dx, const float *restrict dz, const back_terms *restrict k, int acc,
                     int64_t n, dtype type) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        float d = k->scale[c] * dz[c];
        number_write(dx, c, acc ? number_read(dx, c, type) + d : d, type);
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
TYPED void back_rows(const back_task *k, const back_terms *terms, sweep w, dtype type) {
    float buffer[LANES];
    int64_t at;
    for (int64_t n; (n = sweep_next(&w, &at)) > 0;) {
        const float *dz = buffer;
        void *dx = element(k->dinp, at, type);
        if (k->out)
            mask_row(buffer, element(k->dout, at, type), element(k->out, at, type), n, type);
        else
            dz = row_read(buffer, k->dout, at, n, type);
        if (k->dinp && k->fixed)
            fixed_row(dx, dz, terms, k->acc_inp, n, type);
        else if (k->dinp)
            input_row(dx, dz, element(k->inp, at, type), terms, k->acc_inp, n, type);
        if (k->dresidual)
            give_row(element(k->dresidual, at, type), dz, k->acc_residual, n, type);
    }
}

static void back_sweep(const back_task *k, const back_terms *terms, sweep w) {
    if (k->type == DTYPE_F32)
        back_rows(k, terms, w, DTYPE_F32);
    else
        back_rows(k, terms, w, DTYPE_BF16);
}

void batch_norm_backward_apply_cpu(void *dinp, void *dresidual, const void *dout, const void *out,
                                   const void *inp, const void *mean, const void *rstd,
                                   const void *weight, const double *sums, int64_t rows, int64_t C,
                                   int relu, int acc_inp, int acc_residual, dtype type, stream *s) {
    cpu_expect("batch_norm", type);
    (void)s;
    const back_task task = {dinp,    dresidual,    dout,  relu ? out : NULL, inp,
                            acc_inp, acc_residual, !sums, type};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++)
        for (int64_t chunk = 0; chunk < chunks_of(C); chunk++) {
            sweep w = sweep_make(rows, C, block, chunk);
            back_terms terms;
            back_terms_fill(&terms, mean, rstd, weight, sums, &w);
            back_sweep(&task, &terms, w);
        }
}
