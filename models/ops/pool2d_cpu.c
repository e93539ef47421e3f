// One task per row of pixels; inner loops run over channels, which are contiguous. Backward gathers
// per input pixel from the windows it is in, so that no two threads write one place.
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

#include <string.h>

typedef struct range {
    int64_t from, to; // from <= i < to
} range;

// Places of a window that starts at START and lie inside 0..SIZE.
static range inside(int64_t start, int64_t K, int64_t size) {
    return (range){start < 0 ? -start : 0, start + K > size ? size - start : K};
}

// Windows (of COUNT) that pixel I lies in.
static range covering(int64_t i, const window_shape *z, int64_t count) {
    int64_t from = i + z->pad - z->K + 1, to = (i + z->pad) / z->stride + 1;
    return (range){from <= 0 ? 0 : (from + z->stride - 1) / z->stride, to < count ? to : count};
}

static const float *pixel(const float *image, const window_shape *z, int64_t b, int64_t y,
                          int64_t x) {
    return image + ((b * z->H + y) * z->W + x) * z->C;
}

// --- maximum -------------------------------------------------------------------------------------
// NaN wins over all, so that it does not go unseen.
static void take_larger(float *restrict best, uint8_t *restrict index, const float *restrict x,
                        uint8_t place, int64_t C) {
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        bool wins = x[c] > best[c] || x[c] != x[c];
        best[c] = wins ? x[c] : best[c];
        index[c] = wins ? place : index[c];
    }
}

static void max_of_window(float *best, uint8_t *index, const float *inp, const window_shape *z,
                          int64_t b, int64_t top, int64_t left) {
    range ys = inside(top, z->K, z->H), xs = inside(left, z->K, z->W);
    memcpy(best, pixel(inp, z, b, top + ys.from, left + xs.from), (size_t)z->C * sizeof *best);
    memset(index, (int)(ys.from * z->K + xs.from), (size_t)z->C);
    for (int64_t y = ys.from; y < ys.to; y++)
        for (int64_t x = xs.from; x < xs.to; x++)
            take_larger(best, index, pixel(inp, z, b, top + y, left + x), (uint8_t)(y * z->K + x),
                        z->C);
}

void max_pool2d_forward_cpu(void *out, uint8_t *index, const void *inp, const window_shape *z,
                            dtype type, stream *s) {
    cpu_expect_f32("max_pool2d", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->OH; y++)
            for (int64_t x = 0; x < z->OW; x++) {
                int64_t at = ((b * z->OH + y) * z->OW + x) * z->C;
                max_of_window((float *)out + at, index + at, inp, z, b, y * z->stride - z->pad,
                              x * z->stride - z->pad);
            }
}

static void add_where_won(float *restrict dx, const float *restrict dy,
                          const uint8_t *restrict index, int64_t place, int64_t C) {
#pragma omp simd
    for (int64_t c = 0; c < C; c++) dx[c] += index[c] == place ? dy[c] : 0;
}

static void max_back_to_pixel(float *dx, const float *dout, const uint8_t *index,
                              const window_shape *z, int64_t b, int64_t iy, int64_t ix) {
    range ys = covering(iy, z, z->OH), xs = covering(ix, z, z->OW);
    for (int64_t y = ys.from; y < ys.to; y++)
        for (int64_t x = xs.from; x < xs.to; x++) {
            int64_t at = ((b * z->OH + y) * z->OW + x) * z->C;
            int64_t ky = iy - (y * z->stride - z->pad), kx = ix - (x * z->stride - z->pad);
            add_where_won(dx, dout + at, index + at, ky * z->K + kx, z->C);
        }
}

void max_pool2d_backward_cpu(void *dinp, const void *dout, const uint8_t *index,
                             const window_shape *z, int acc, dtype type, stream *s) {
    cpu_expect_f32("max_pool2d", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->H; y++)
            for (int64_t x = 0; x < z->W; x++) {
                float *dx = (float *)dinp + ((b * z->H + y) * z->W + x) * z->C;
                if (!acc) memset(dx, 0, (size_t)z->C * sizeof *dx);
                max_back_to_pixel(dx, dout, index, z, b, y, x);
            }
}

// --- mean ----------------------------------------------------------------------------------------
static void add_scaled(float *restrict to, const float *restrict from, float scale, int64_t C) {
#pragma omp simd
    for (int64_t c = 0; c < C; c++) to[c] += from[c] * scale;
}

void avg_pool2d_forward_cpu(void *out, const void *inp, const window_shape *z, dtype type,
                            stream *s) {
    cpu_expect_f32("avg_pool2d", type);
    (void)s;
    float share = 1 / (float)(z->K * z->K);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->OH; y++)
            for (int64_t x = 0; x < z->OW; x++) {
                float *to = (float *)out + ((b * z->OH + y) * z->OW + x) * z->C;
                memset(to, 0, (size_t)z->C * sizeof *to);
                for (int64_t k = 0; k < z->K * z->K; k++)
                    add_scaled(to,
                               pixel(inp, z, b, y * z->stride + k / z->K, x * z->stride + k % z->K),
                               share, z->C);
            }
}

static void avg_back_to_pixel(float *dx, const float *dout, const window_shape *z, int64_t b,
                              int64_t iy, int64_t ix) {
    range ys = covering(iy, z, z->OH), xs = covering(ix, z, z->OW);
    float share = 1 / (float)(z->K * z->K);
    for (int64_t y = ys.from; y < ys.to; y++)
        for (int64_t x = xs.from; x < xs.to; x++)
            add_scaled(dx, dout + ((b * z->OH + y) * z->OW + x) * z->C, share, z->C);
}

void avg_pool2d_backward_cpu(void *dinp, const void *dout, const window_shape *z, int acc,
                             dtype type, stream *s) {
    cpu_expect_f32("avg_pool2d", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->H; y++)
            for (int64_t x = 0; x < z->W; x++) {
                float *dx = (float *)dinp + ((b * z->H + y) * z->W + x) * z->C;
                if (!acc) memset(dx, 0, (size_t)z->C * sizeof *dx);
                avg_back_to_pixel(dx, dout, z, b, y, x);
            }
}
