#include "tests/oracle/oracle.h"

#include <math.h>

// The pixel under place K of an output's window, counted in elements; -1 outside of the image.
static int64_t pixel_at(const window_shape *z, int64_t out, int64_t k) {
    int64_t c = out % z->C, ox = out / z->C % z->OW, oy = out / (z->C * z->OW) % z->OH;
    int64_t b = out / (z->C * z->OW * z->OH);
    int64_t iy = oy * z->stride + k / z->K - z->pad, ix = ox * z->stride + k % z->K - z->pad;
    if (iy < 0 || iy >= z->H || ix < 0 || ix >= z->W) return -1;
    return ((b * z->H + iy) * z->W + ix) * z->C + c;
}

static int64_t outputs(const window_shape *z) {
    return z->B * z->OH * z->OW * z->C;
}

static void clear(double *x, const window_shape *z, int acc) {
    for (int64_t i = 0; i < z->B * z->H * z->W * z->C && !acc; i++) x[i] = 0;
}

void max_pool2d_forward_oracle(void *out, uint8_t *index, const void *inp, const window_shape *z,
                               dtype type, stream *s) {
    (void)type, (void)s;
    const double *x = inp;
    for (int64_t i = 0; i < outputs(z); i++) {
        int64_t winner = -1;
        for (int64_t k = 0; k < z->K * z->K; k++) {
            int64_t at = pixel_at(z, i, k);
            if (at < 0) continue;
            int64_t best = winner < 0 ? -1 : pixel_at(z, i, winner);
            if (winner < 0 || x[at] > x[best] || isnan(x[at])) winner = k;
        }
        ((double *)out)[i] = x[pixel_at(z, i, winner)];
        index[i] = (uint8_t)winner;
    }
}

void max_pool2d_backward_oracle(void *dinp, const void *dout, const uint8_t *index,
                                const window_shape *z, int acc, dtype type, stream *s) {
    (void)type, (void)s;
    clear(dinp, z, acc);
    for (int64_t i = 0; i < outputs(z); i++)
        ((double *)dinp)[pixel_at(z, i, index[i])] += ((const double *)dout)[i];
}

void avg_pool2d_forward_oracle(void *out, const void *inp, const window_shape *z, dtype type,
                               stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < outputs(z); i++) {
        double sum = 0;
        for (int64_t k = 0; k < z->K * z->K; k++) sum += ((const double *)inp)[pixel_at(z, i, k)];
        ((double *)out)[i] = sum / (double)(z->K * z->K);
    }
}

void avg_pool2d_backward_oracle(void *dinp, const void *dout, const window_shape *z, int acc,
                                dtype type, stream *s) {
    (void)type, (void)s;
    clear(dinp, z, acc);
    for (int64_t i = 0; i < outputs(z); i++)
        for (int64_t k = 0; k < z->K * z->K; k++)
            ((double *)dinp)[pixel_at(z, i, k)] +=
                ((const double *)dout)[i] / (double)(z->K * z->K);
}
