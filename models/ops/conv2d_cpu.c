// Windows of one pixel at stride 1 are matrix products over all pixels; the rest is oneDNN's.
#include "core/onednn.h"
#include "models/ops/column_sums_cpu.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

static bool is_product(const window_shape *z) {
    return z->K == 1 && z->stride == 1 && z->pad == 0;
}

static int64_t pixels(const window_shape *z) {
    return z->B * z->OH * z->OW;
}

static onednn_conv sizes(const window_shape *z, dtype type) {
    return (onednn_conv){.B = z->B,
                         .H = z->H,
                         .W = z->W,
                         .C = z->C,
                         .O = z->O,
                         .OH = z->OH,
                         .OW = z->OW,
                         .K = z->K,
                         .stride = z->stride,
                         .pad = z->pad,
                         .type = type};
}

static size_t image_bytes(const window_shape *z, dtype type) {
    return ((size_t)(z->B * z->H * z->W * z->C) * dtype_size(type) + 63) / 64 * 64;
}

size_t conv2d_scratch_cpu(const window_shape *z, dtype type, stream *s) {
    cpu_expect("conv2d", type);
    if (is_product(z)) return linear_scratch_cpu(pixels(z), z->O, z->C, type, s);
    onednn_conv conv = sizes(z, type);
    // A gradient that is to be added is computed beside what is there.
    return onednn_conv_scratch(&conv, s) + image_bytes(z, type);
}

static void add_image(void *dinp, const void *fresh, const window_shape *z, dtype type, stream *s) {
    add_backward_cpu(dinp, fresh, z->B * z->H * z->W * z->C, 1, type, s);
}

void conv2d_forward_cpu(void *out, const void *inp, const void *weight, const void *bias,
                        const window_shape *z, dtype type, void *scratch, stream *s) {
    cpu_expect("conv2d", type);
    onednn_conv conv = sizes(z, type);
    if (is_product(z))
        linear_forward_cpu(out, inp, weight, bias, pixels(z), z->O, z->C, type, scratch, s);
    else
        onednn_conv_forward(out, inp, weight, bias, &conv, scratch, s);
}

void conv2d_backward_input_cpu(void *dinp, const void *dout, const void *weight,
                               const window_shape *z, int acc, dtype type, void *scratch,
                               stream *s) {
    cpu_expect("conv2d", type);
    onednn_conv conv = sizes(z, type);
    if (is_product(z))
        linear_backward_input_cpu(dinp, dout, weight, pixels(z), z->O, z->C, acc, type, scratch, s);
    else if (acc) {
        void *fresh = scratch;
        onednn_conv_backward_input(fresh, dout, weight, &conv, (char *)scratch + image_bytes(z, type),
                                   s);
        add_image(dinp, fresh, z, type, s);
    } else
        onednn_conv_backward_input(dinp, dout, weight, &conv, scratch, s);
}

void conv2d_backward_weight_cpu(void *dweight, void *dbias, const void *dout, const void *inp,
                                const window_shape *z, int acc_weight, int acc_bias, dtype type,
                                void *scratch, stream *s) {
    cpu_expect("conv2d", type);
    onednn_conv conv = sizes(z, type);
    if (dweight && is_product(z))
        linear_backward_weight_cpu(dweight, NULL, dout, inp, pixels(z), z->O, z->C, acc_weight, 0,
                                   type, scratch, s);
    else if (dweight)
        onednn_conv_backward_weight(dweight, dout, inp, &conv, acc_weight, scratch, s);
    // One more read of dout, but in an order that is the same for any number of threads.
    if (dbias) column_sums_cpu(dbias, dout, pixels(z), z->O, z->O, acc_bias, type);
}
