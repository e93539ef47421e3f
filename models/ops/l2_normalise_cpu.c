#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <math.h>

// Sums go over LANES numbers side by side, in an order that the code fixes.
enum { LANES = 16 };
static const double LEAST_NORM = 1e-12;

static double dot(const float *a, const float *b, int64_t n) {
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)a[i + l] * (double)b[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += (double)a[i] * (double)b[i];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

// The dot product of the rows of D elements at AT of two tensors.
static double row_dot(const void *a, const void *b, int64_t at, int64_t D, dtype type) {
    double sum = 0;
    for (int64_t i = 0; i < D; i += ROW) {
        float buffer[2][ROW];
        int64_t n = row_length(i, D);
        const float *x = row_read(buffer[0], a, at + i, n, type);
        sum += dot(x, a == b ? x : row_read(buffer[1], b, at + i, n, type), n);
    }
    return sum;
}

void l2_normalise_forward_cpu(void *out, void *norm, const void *inp, int64_t rows, int64_t D,
                              dtype type, stream *s) {
    cpu_expect("l2_normalise", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        double length = sqrt(row_dot(inp, inp, r * D, D, type));
        float scale = (float)(1 / (length < LEAST_NORM ? LEAST_NORM : length)); // NaN stays
        ((float *)norm)[r] = (float)length;
        for (int64_t i = 0; i < D; i += ROW) {
            float buffer[2][ROW];
            int64_t n = row_length(i, D), at = r * D + i;
            const float *x = row_read(buffer[0], inp, at, n, type);
            float *y = row_begin(buffer[1], out, at, n, 0, type);
            for (int64_t k = 0; k < n; k++) y[k] = x[k] * scale;
            row_end(out, at, y, n, type);
        }
    }
}

void l2_normalise_backward_cpu(void *dinp, const void *dout, const void *inp, const void *norm,
                               int64_t rows, int64_t D, int acc, dtype type, stream *s) {
    cpu_expect("l2_normalise", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        double length = (double)((const float *)norm)[r];
        bool least = length < LEAST_NORM;
        if (least) length = LEAST_NORM;
        float scale = (float)(1 / length), along = 0;
        if (!least) along = (float)(row_dot(inp, dout, r * D, D, type) / (length * length));
        for (int64_t i = 0; i < D; i += ROW) {
            float buffer[3][ROW];
            int64_t n = row_length(i, D), at = r * D + i;
            const float *x = row_read(buffer[0], inp, at, n, type);
            const float *dy = row_read(buffer[1], dout, at, n, type);
            float *dx = row_begin(buffer[2], dinp, at, n, acc, type);
            for (int64_t k = 0; k < n; k++) {
                float d = scale * (dy[k] - x[k] * along);
                dx[k] = acc ? dx[k] + d : d;
            }
            row_end(dinp, at, dx, n, type);
        }
    }
}
