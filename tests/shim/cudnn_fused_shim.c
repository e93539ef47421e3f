// cuDNN's fused convolutions as their parts (cudnn_shim.c), for the host shim: what core/cuda/cudnn_fused.h promises.
#include "core/cuda/cudnn_fused.h"

#include <stdlib.h>
#include <string.h>

enum { SCRATCH = 112 };

bool cudnn_fused_takes(cudnn_fused what, const cudnn_conv *z, stream *s) {
    (void)s;
    const char *without = getenv("SHIM_WITHOUT_FUSED"); // one of them, by its number
    if (without && atoi(without) == (int)what) return false;
    return z->type == DTYPE_F16 && z->C % 8 == 0 && z->O % 8 == 0;
}

size_t cudnn_fused_scratch(cudnn_fused what, const cudnn_conv *z, stream *s) {
    (void)what, (void)z, (void)s;
    return SCRATCH;
}

// Before anything is read: what a caller left there is lost.
static void fill(void *scratch) {
    memset(scratch, 0xa5, SCRATCH);
}

static double relu(double x) {
    return x < 0 ? 0 : x; // NaN stays
}

static void statistics(float *sum, float *squares, const void *x, int64_t rows, int64_t C, dtype type) {
    for (int64_t c = 0; c < C; c++) {
        double a = 0, b = 0;
        for (int64_t r = 0; r < rows; r++) {
            const double v = element_get(x, r * C + c, type);
            a += v, b += v * v;
        }
        sum[c] = (float)a, squares[c] = (float)b;
    }
}

// max(0, inp scale + bias) in the images' type, which SCALE and BIAS have as well; the caller frees it.
static void *seen_image(const void *inp, const void *scale, const void *bias, const cudnn_conv *z) {
    const dtype type = (dtype)z->type;
    const int64_t count = z->B * z->H * z->W * z->C;
    void *seen = malloc((size_t)count * dtype_size(type));
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = i % z->C;
        const double y = element_get(inp, i, type) * element_get(scale, c, type) + element_get(bias, c, type);
        element_put(seen, i, relu(y), type);
    }
    return seen;
}

void cudnn_conv_stats(void *out, float *sum, float *squares, const void *inp, const void *weight, const cudnn_conv *z,
                      void *scratch, stream *s) {
    fill(scratch);
    cudnn_conv_forward(out, inp, weight, z, scratch, s);
    statistics(sum, squares, out, z->B * z->OH * z->OW, z->O, (dtype)z->type);
}

void cudnn_norm_conv_stats(void *out, float *sum, float *squares, const void *inp, const void *scale, const void *bias,
                           const void *weight, const cudnn_conv *z, void *scratch, stream *s) {
    fill(scratch);
    void *seen = seen_image(inp, scale, bias, z);
    cudnn_conv_stats(out, sum, squares, seen, weight, z, scratch, s);
    free(seen);
}

void cudnn_norm_backward_weight(void *dweight, const void *dout, const void *inp, const void *scale, const void *bias,
                                const cudnn_conv *z, void *scratch, stream *s) {
    fill(scratch);
    void *seen = seen_image(inp, scale, bias, z);
    cudnn_conv_backward_weight(dweight, dout, seen, z, scratch, s);
    free(seen);
}

void cudnn_backward_input_norm(const cudnn_norm_gradient *out, const void *dout, const void *weight, const void *inp,
                               const cudnn_norm *n, const cudnn_conv *z, void *scratch, stream *s) {
    const dtype type = (dtype)z->type;
    const int64_t C = z->C, count = z->B * z->H * z->W * C;
    fill(scratch);
    cudnn_conv_backward_input(out->dy, dout, weight, z, scratch, s);
    for (int64_t c = 0; c < C; c++) {
        const double mean = (double)n->mean[c], inverse = (double)n->inverse[c], scale = (double)n->scale[c];
        double dscale = 0, dbias = 0;
        for (int64_t i = c; i < count; i += C) {
            const double normal = (element_get(inp, i, type) - mean) * inverse;
            const bool passes = normal * scale + (double)n->bias[c] > 0;
            const double dy = passes ? element_get(out->dy, i, type) : 0;
            element_put(out->dy, i, dy, type);
            dbias += dy, dscale += dy * normal;
        }
        const double rows = (double)(count / C), by = scale * inverse, of_x = -by * inverse * dscale / rows;
        out->dscale[c] = (float)dscale, out->dbias[c] = (float)dbias;
        out->of_dy[c] = (float)by, out->of_x[c] = (float)of_x;
        out->constant[c] = (float)(-by * dbias / rows - of_x * mean);
    }
}

static float *widened(const void *x, int64_t count, dtype type) {
    float *wide = malloc((size_t)count * sizeof *wide);
    for (int64_t i = 0; i < count; i++) wide[i] = (float)element_get(x, i, type);
    return wide;
}

// Between convolution and norm nothing is rounded to the images' type.
void cudnn_conv_norm_relu(void *out, const void *inp, const void *weight, const float *scale, const float *bias,
                          const cudnn_conv *z, void *scratch, stream *s) {
    const dtype type = (dtype)z->type;
    const int64_t outs = z->B * z->OH * z->OW * z->O;
    cudnn_conv wide = *z;
    wide.type = DTYPE_F32;
    fill(scratch);
    float *image = widened(inp, z->B * z->H * z->W * z->C, type);
    float *factors = widened(weight, z->O * z->K * z->K * z->C, type), *raw = malloc((size_t)outs * sizeof *raw);
    cudnn_conv_forward(raw, image, factors, &wide, scratch, s);
    for (int64_t i = 0; i < outs; i++) {
        const int64_t o = i % z->O;
        element_put(out, i, relu((double)raw[i] * (double)scale[o] + (double)bias[o]), type);
    }
    free(raw);
    free(factors);
    free(image);
}
