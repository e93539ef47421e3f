// One task per row of pixels; inner loops run over channels, which are contiguous. Backward gathers
// per input pixel from the windows it is in, so that no two threads write one place.
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <math.h>

enum { CHANNELS = 256 }; // of a pixel, handled at once

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

// The first elements of an input's and an output's pixel.
static int64_t pixel(const window_shape *z, int64_t b, int64_t y, int64_t x) {
    return ((b * z->H + y) * z->W + x) * z->C;
}

static int64_t cell(const window_shape *z, int64_t b, int64_t y, int64_t x) {
    return ((b * z->OH + y) * z->OW + x) * z->C;
}

static int64_t channels_from(int64_t first, int64_t C) {
    return C - first < CHANNELS ? C - first : CHANNELS;
}

// --- maximum -------------------------------------------------------------------------------------
// NaN wins over all, so that it does not go unseen. Places are as wide as numbers here: one kind of
// vector lane.
static void take_larger(float *restrict best, int32_t *restrict winner, const float *restrict x,
                        int32_t place, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) {
        bool wins = x[c] > best[c] || x[c] != x[c];
        best[c] = wins ? x[c] : best[c];
        winner[c] = wins ? place : winner[c];
    }
}

static void max_of_window(void *out, uint8_t *index, const void *inp, const window_shape *z,
                          int64_t b, int64_t oy, int64_t ox, dtype type) {
    int64_t top = oy * z->stride - z->pad, left = ox * z->stride - z->pad, at = cell(z, b, oy, ox);
    range ys = inside(top, z->K, z->H), xs = inside(left, z->K, z->W);
    for (int64_t first = 0; first < z->C; first += CHANNELS) {
        int64_t n = channels_from(first, z->C);
        float best[CHANNELS], buffer[CHANNELS];
        int32_t winner[CHANNELS];
        for (int64_t c = 0; c < n; c++) {
            best[c] = -INFINITY;
            winner[c] = (int32_t)(ys.from * z->K + xs.from);
        }
        for (int64_t y = ys.from; y < ys.to; y++)
            for (int64_t x = xs.from; x < xs.to; x++) {
                int64_t from = pixel(z, b, top + y, left + x) + first;
                take_larger(best, winner, row_read(buffer, inp, from, n, type),
                            (int32_t)(y * z->K + x), n);
            }
        float *to = row_begin(buffer, out, at + first, n, 0, type);
        memcpy(to, best, (size_t)n * sizeof *to);
        row_end(out, at + first, to, n, type);
        for (int64_t c = 0; c < n; c++) index[at + first + c] = (uint8_t)winner[c];
    }
}

void max_pool2d_forward_cpu(void *out, uint8_t *index, const void *inp, const window_shape *z,
                            dtype type, stream *s) {
    cpu_expect("max_pool2d", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->OH; y++)
            for (int64_t x = 0; x < z->OW; x++) max_of_window(out, index, inp, z, b, y, x, type);
}

static void add_where_won(float *restrict dx, const float *restrict dy,
                          const uint8_t *restrict index, int32_t place, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) dx[c] += (int32_t)index[c] == place ? dy[c] : 0;
}

static void max_back_to_pixel(float *dx, const void *dout, const uint8_t *index,
                              const window_shape *z, int64_t b, int64_t iy, int64_t ix,
                              int64_t first, int64_t n, dtype type) {
    range ys = covering(iy, z, z->OH), xs = covering(ix, z, z->OW);
    float buffer[CHANNELS];
    for (int64_t y = ys.from; y < ys.to; y++)
        for (int64_t x = xs.from; x < xs.to; x++) {
            int64_t at = cell(z, b, y, x) + first;
            int64_t ky = iy - (y * z->stride - z->pad), kx = ix - (x * z->stride - z->pad);
            add_where_won(dx, row_read(buffer, dout, at, n, type), index + at,
                          (int32_t)(ky * z->K + kx), n);
        }
}

// --- mean ----------------------------------------------------------------------------------------
static void add_scaled(float *restrict to, const float *restrict from, float scale, int64_t n) {
#pragma omp simd
    for (int64_t c = 0; c < n; c++) to[c] += from[c] * scale;
}

static void mean_of_window(void *out, const void *inp, const window_shape *z, int64_t b, int64_t oy,
                           int64_t ox, dtype type) {
    float share = 1 / (float)(z->K * z->K);
    for (int64_t first = 0; first < z->C; first += CHANNELS) {
        int64_t n = channels_from(first, z->C), at = cell(z, b, oy, ox) + first;
        float sum[CHANNELS] = {0}, buffer[CHANNELS];
        for (int64_t k = 0; k < z->K * z->K; k++) {
            int64_t from = pixel(z, b, oy * z->stride + k / z->K, ox * z->stride + k % z->K);
            add_scaled(sum, row_read(buffer, inp, from + first, n, type), share, n);
        }
        float *to = row_begin(buffer, out, at, n, 0, type);
        memcpy(to, sum, (size_t)n * sizeof *to);
        row_end(out, at, to, n, type);
    }
}

void avg_pool2d_forward_cpu(void *out, const void *inp, const window_shape *z, dtype type,
                            stream *s) {
    cpu_expect("avg_pool2d", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->OH; y++)
            for (int64_t x = 0; x < z->OW; x++) mean_of_window(out, inp, z, b, y, x, type);
}

static void avg_back_to_pixel(float *dx, const void *dout, const window_shape *z, int64_t b,
                              int64_t iy, int64_t ix, int64_t first, int64_t n, dtype type) {
    range ys = covering(iy, z, z->OH), xs = covering(ix, z, z->OW);
    float share = 1 / (float)(z->K * z->K), buffer[CHANNELS];
    for (int64_t y = ys.from; y < ys.to; y++)
        for (int64_t x = xs.from; x < xs.to; x++) {
            int64_t at = cell(z, b, y, x) + first;
            add_scaled(dx, row_read(buffer, dout, at, n, type), share, n);
        }
}

// --- backward of both ----------------------------------------------------------------------------
// INDEX says which pixel won; NULL: the mean.
static void backward(void *dinp, const void *dout, const uint8_t *index, const window_shape *z,
                     int acc, dtype type) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t y = 0; y < z->H; y++)
            for (int64_t i = 0; i < z->W * ((z->C + CHANNELS - 1) / CHANNELS); i++) {
                int64_t x = i % z->W, first = i / z->W * CHANNELS, n = channels_from(first, z->C);
                int64_t at = pixel(z, b, y, x) + first;
                float buffer[CHANNELS], *dx = row_begin(buffer, dinp, at, n, acc, type);
                if (!acc) memset(dx, 0, (size_t)n * sizeof *dx);
                if (index)
                    max_back_to_pixel(dx, dout, index, z, b, y, x, first, n, type);
                else
                    avg_back_to_pixel(dx, dout, z, b, y, x, first, n, type);
                row_end(dinp, at, dx, n, type);
            }
}

void max_pool2d_backward_cpu(void *dinp, const void *dout, const uint8_t *index,
                             const window_shape *z, int acc, dtype type, stream *s) {
    cpu_expect("max_pool2d", type);
    (void)s;
    backward(dinp, dout, index, z, acc, type);
}

void avg_pool2d_backward_cpu(void *dinp, const void *dout, const window_shape *z, int acc,
                             dtype type, stream *s) {
    cpu_expect("avg_pool2d", type);
    (void)s;
    backward(dinp, dout, NULL, z, acc, type);
}
