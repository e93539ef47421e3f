// Windows of one pixel at stride 1 are matrix products over all pixels; the rest is oneDNN's.
#include "core/onednn.h"
#include "models/ops/column_sums_cpu.h"
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

static bool is_product(const window_shape *z) {
    return z->K == 1 && z->stride == 1 && z->pad == 0;
}

static int64_t pixels(const window_shape *z) {
    return z->B * z->OH * z->OW;
}

static onednn_conv sizes(const window_shape *z) {
    return (onednn_conv){.B = z->B,
                         .H = z->H,
                         .W = z->W,
                         .C = z->C,
                         .O = z->O,
                         .OH = z->OH,
                         .OW = z->OW,
                         .K = z->K,
                         .stride = z->stride,
                         .pad = z->pad};
}

size_t conv2d_scratch_cpu(const window_shape *z, dtype type, stream *s) {
    cpu_expect_f32("conv2d", type);
    if (is_product(z)) return linear_scratch_cpu(pixels(z), z->O, z->C, type, s);
    onednn_conv conv = sizes(z);
    return onednn_conv_scratch(&conv, s);
}

void conv2d_forward_cpu(void *out, const void *inp, const void *weight, const void *bias,
                        const window_shape *z, dtype type, void *scratch, stream *s) {
    cpu_expect_f32("conv2d", type);
    onednn_conv conv = sizes(z);
    if (is_product(z))
        linear_forward_cpu(out, inp, weight, bias, pixels(z), z->O, z->C, type, scratch, s);
    else
        onednn_conv_forward(out, inp, weight, bias, &conv, scratch, s);
}

void conv2d_backward_input_cpu(void *dinp, const void *dout, const void *weight,
                               const window_shape *z, int acc, dtype type, void *scratch,
                               stream *s) {
    cpu_expect_f32("conv2d", type);
    onednn_conv conv = sizes(z);
    if (is_product(z))
        linear_backward_input_cpu(dinp, dout, weight, pixels(z), z->O, z->C, acc, type, scratch, s);
    else
        onednn_conv_backward_input(dinp, dout, weight, &conv, acc, scratch, s);
}

void conv2d_backward_weight_cpu(void *dweight, void *dbias, const void *dout, const void *inp,
                                const window_shape *z, int acc_weight, int acc_bias, dtype type,
                                void *scratch, stream *s) {
    cpu_expect_f32("conv2d", type);
    onednn_conv conv = sizes(z);
    if (dweight && is_product(z))
        linear_backward_weight_cpu(dweight, NULL, dout, inp, pixels(z), z->O, z->C, acc_weight, 0,
                                   type, scratch, s);
    else if (dweight)
        onednn_conv_backward_weight(dweight, dout, inp, &conv, acc_weight, scratch, s);
    // One more read of dout, but in an order that is the same for any number of threads.
    if (dbias) column_sums_cpu(dbias, dout, pixels(z), z->O, acc_bias);
}
