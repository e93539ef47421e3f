// Convolutions with norms around them are cuDNN's (core/cuda/cudnn_fused.h): what stands here puts the channels'
// numbers into the form that its engines take and give.
//
// Its engines have a norm as one scale and one bias in the images' type: x scale + bias. In f16 that loses digits where
// a channel's mean is many times its deviation, and overflows where |mean| weight / deviation is beyond 65504;
// batch_norm takes the mean off first. Their sums are in f32, where batch_norm's own are in f64, and every weight's
// gradient passes through f16, that of a single pixel's window too (PyTorch's mixed precision does the same).
#include "models/ops/conv2d_cuda.cuh"
extern "C" {
#include "core/cuda/cudnn_fused.h"
}

static_assert((int)FUSED_CONV_SUMS == CUDNN_CONV_STATS && (int)FUSED_NORM_CONV_SUMS == CUDNN_NORM_CONV_STATS &&
                  (int)FUSED_NORM_BACKWARD_WEIGHT == CUDNN_NORM_BACKWARD_WEIGHT &&
                  (int)FUSED_NORM_BACKWARD_INPUT == CUDNN_BACKWARD_INPUT_NORM &&
                  (int)FUSED_CONV_NORM_RELU == CUDNN_CONV_NORM_RELU && (int)FUSED_CONVS == CUDNN_FUSED_COUNT,
              "the same list twice");

// Parts of a call's scratch, cuDNN's own behind them.
enum { MOST_PARTS = 5 };
typedef struct layout {
    size_t at[MOST_PARTS + 1];
} layout;

static layout layout_of(fused_conv what, const window_shape *z, dtype type) {
    const size_t narrow = (size_t)z->C * dtype_size(type), wide = (size_t)z->C * sizeof(float);
    const size_t out = (size_t)z->O * sizeof(float), weight = (size_t)(z->O * z->K * z->K * z->C) * dtype_size(type);
    const size_t bytes[FUSED_CONVS][MOST_PARTS] = {
        {out, out},                      // sums, squares
        {out, out, narrow, narrow},      // sums, squares, scale, bias
        {weight, narrow, narrow},        // dweight, scale, bias
        {wide, wide, wide, wide, wide},  // dscale, dbias, of_dy, of_x, constant
        {out, out},                      // scale, bias
    };
    layout l = {};
    for (int i = 0; i < MOST_PARTS; i++) l.at[i + 1] = l.at[i] + (bytes[what][i] + 255) / 256 * 256;
    return l;
}

static void *part(void *scratch, const layout &l, int i) {
    return (char *)scratch + l.at[i];
}

// In f16 cuDNN has all of it for channels in eights; in other types parts, which are not worth a plan each.
size_t conv2d_fused_scratch_cuda(fused_conv what, const window_shape *z, dtype type, stream *s) {
    const cudnn_conv conv = conv_of(z, type);
    if (type != DTYPE_F16 || z->C % 8 || z->O % 8 || !cudnn_fused_takes((cudnn_fused)what, &conv, s)) return 0;
    return layout_of(what, z, type).at[MOST_PARTS] + cudnn_fused_scratch((cudnn_fused)what, &conv, s);
}

// --- per channel -------------------------------------------------------------------------------------------
struct pair_body { // two sums as batch norm's sums
    double *sums;
    const float *a, *b;
    int64_t C;
    double rows;
    template <int V> __device__ void at(int64_t c) const {
        sums[c] = (double)a[c];
        sums[C + c] = (double)b[c];
        if (c == 0) sums[2 * C] = rows;
    }
};

static void give_sums(const char *name, double *sums, const void *a, const void *b, int64_t C, int64_t rows,
                      stream *s) {
    each<1>(name, C, pair_body{sums, (const float *)a, (const float *)b, C, (double)rows}, true, s);
}

template <class T> struct scale_body {
    T *scale, *bias;
    const float *mean, *rstd, *weight, *shift;
    template <int V> __device__ void at(int64_t c) const {
        const float by[1] = {rstd[c] * weight[c]}, plus[1] = {shift[c] - mean[c] * by[0]};
        store(scale + c, by);
        store(bias + c, plus);
    }
};

template <class T>
static void give_scale(const char *name, void *scale, void *bias, const channel_norm *n, int64_t C, stream *s) {
    const scale_body<T> body = {(T *)scale,
                                (T *)bias,
                                (const float *)n->mean,
                                (const float *)n->rstd,
                                (const float *)n->weight,
                                (const float *)n->bias};
    each<1>(name, C, body, true, s);
}

// --- the calls ---------------------------------------------------------------------------------------------
void conv2d_sums_cuda(void *out, double *sums, const void *inp, const void *weight, const window_shape *z,
                      dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const cudnn_conv conv = conv_of(z, type);
    const layout l = layout_of(FUSED_CONV_SUMS, z, type);
    float *sum = (float *)part(scratch, l, 0), *squares = (float *)part(scratch, l, 1);
    cudnn_conv_stats(out, sum, squares, inp, weight, &conv, part(scratch, l, MOST_PARTS), s);
    give_sums("conv2d_sums", sums, sum, squares, z->O, z->B * z->OH * z->OW, s);
}

void norm_conv2d_sums_cuda(void *out, double *sums, const void *inp, const channel_norm *n, const void *weight,
                           const window_shape *z, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const cudnn_conv conv = conv_of(z, type);
    const layout l = layout_of(FUSED_NORM_CONV_SUMS, z, type);
    float *sum = (float *)part(scratch, l, 0), *squares = (float *)part(scratch, l, 1);
    void *scale = part(scratch, l, 2), *bias = part(scratch, l, 3);
    FOR_TYPE("norm_conv2d", type, give_scale, "norm_conv2d_sums", scale, bias, n, z->C, s);
    cudnn_norm_conv_stats(out, sum, squares, inp, scale, bias, weight, &conv, part(scratch, l, MOST_PARTS), s);
    give_sums("norm_conv2d_sums", sums, sum, squares, z->O, z->B * z->OH * z->OW, s);
}

void norm_conv2d_backward_weight_cuda(void *dweight, const void *dout, const void *inp, const channel_norm *n,
                                      const window_shape *z, int acc, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const cudnn_conv conv = conv_of(z, type);
    const layout l = layout_of(FUSED_NORM_BACKWARD_WEIGHT, z, type);
    void *narrow = part(scratch, l, 0), *scale = part(scratch, l, 1), *bias = part(scratch, l, 2);
    FOR_TYPE("norm_conv2d", type, give_scale, "norm_conv2d_backward_weight", scale, bias, n, z->C, s);
    cudnn_norm_backward_weight(narrow, dout, inp, scale, bias, &conv, part(scratch, l, MOST_PARTS), s);
    FOR_TYPE("norm_conv2d", type, give_weight, "norm_conv2d_backward_weight", dweight, narrow, z, acc, s);
}

// cuDNN's factors for dx are of this rank's rows alone and are left: batch_norm_backward_apply has sums over all.
void norm_conv2d_backward_input_cuda(void *dz, double *sums, const void *dout, const void *weight, const void *inp,
                                     const channel_norm *n, const window_shape *z, dtype type, void *scratch,
                                     stream *s) {
    KERNEL_BEGIN(s);
    const cudnn_conv conv = conv_of(z, type);
    const layout l = layout_of(FUSED_NORM_BACKWARD_INPUT, z, type);
    float *sum[MOST_PARTS];
    for (int i = 0; i < MOST_PARTS; i++) sum[i] = (float *)part(scratch, l, i);
    const cudnn_norm_gradient to = {dz, sum[0], sum[1], sum[2], sum[3], sum[4]};
    const cudnn_norm norm = {(const float *)n->mean, (const float *)n->rstd, (const float *)n->weight,
                             (const float *)n->bias};
    cudnn_backward_input_norm(&to, dout, weight, inp, &norm, &conv, part(scratch, l, MOST_PARTS), s);
    give_sums("norm_conv2d_backward_input", sums, sum[1], sum[0], z->C, z->B * z->H * z->W, s);
}

void conv2d_norm_relu_cuda(void *out, const void *inp, const void *weight, const channel_norm *n,
                           const window_shape *z, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const cudnn_conv conv = conv_of(z, type);
    const layout l = layout_of(FUSED_CONV_NORM_RELU, z, type);
    float *scale = (float *)part(scratch, l, 0), *bias = (float *)part(scratch, l, 1);
    give_scale<float>("conv2d_norm_relu", scale, bias, n, z->O, s);
    cudnn_conv_norm_relu(out, inp, weight, scale, bias, &conv, part(scratch, l, MOST_PARTS), s);
}
