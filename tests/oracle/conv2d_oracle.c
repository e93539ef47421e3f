#include "tests/oracle/oracle.h"

size_t conv2d_scratch_oracle(const window_shape *z, dtype type, stream *s) {
    (void)z, (void)type, (void)s;
    return 0;
}

// Calls VISIT for every product of a pixel inside the image with a weight: their places and that of
// the output they go into.
typedef struct conv_arrays {
    double *out, *inp, *weight;
} conv_arrays;

static void each_product(const window_shape *z, conv_arrays a,
                         void (*visit)(double *out, double *inp, double *weight)) {
    for (int64_t b = 0; b < z->B; b++)
        for (int64_t oy = 0; oy < z->OH; oy++)
            for (int64_t ox = 0; ox < z->OW; ox++)
                for (int64_t k = 0; k < z->K * z->K; k++) {
                    int64_t iy = oy * z->stride + k / z->K - z->pad;
                    int64_t ix = ox * z->stride + k % z->K - z->pad;
                    if (iy < 0 || iy >= z->H || ix < 0 || ix >= z->W) continue;
                    double *out = a.out + ((b * z->OH + oy) * z->OW + ox) * z->O;
                    double *inp = a.inp + ((b * z->H + iy) * z->W + ix) * z->C;
                    for (int64_t o = 0; o < z->O; o++)
                        for (int64_t c = 0; c < z->C; c++)
                            visit(out + o, inp + c, a.weight + (o * z->K * z->K + k) * z->C + c);
                }
}

static void visit_forward(double *out, double *inp, double *weight) {
    *out += *inp * *weight;
}

static void visit_input(double *out, double *inp, double *weight) {
    *inp += *out * *weight;
}

static void visit_weight(double *out, double *inp, double *weight) {
    *weight += *out * *inp;
}

static void clear(double *x, int64_t n, int acc) {
    for (int64_t i = 0; i < n && !acc; i++) x[i] = 0;
}

void conv2d_forward_oracle(void *out, const void *inp, const void *weight, const void *bias,
                           const window_shape *z, dtype type, void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    for (int64_t i = 0; i < z->B * z->OH * z->OW * z->O; i++)
        ((double *)out)[i] = bias ? ((const double *)bias)[i % z->O] : 0;
    each_product(z, (conv_arrays){out, (void *)(uintptr_t)inp, (void *)(uintptr_t)weight},
                 visit_forward);
}

void conv2d_backward_input_oracle(void *dinp, const void *dout, const void *weight,
                                  const window_shape *z, int acc, dtype type, void *scratch,
                                  stream *s) {
    (void)type, (void)scratch, (void)s;
    clear(dinp, z->B * z->H * z->W * z->C, acc);
    each_product(z, (conv_arrays){(void *)(uintptr_t)dout, dinp, (void *)(uintptr_t)weight},
                 visit_input);
}

void conv2d_backward_weight_oracle(void *dweight, void *dbias, const void *dout, const void *inp,
                                   const window_shape *z, int acc_weight, int acc_bias, dtype type,
                                   void *scratch, stream *s) {
    (void)type, (void)scratch, (void)s;
    if (dweight) {
        clear(dweight, z->O * z->K * z->K * z->C, acc_weight);
        each_product(z, (conv_arrays){(void *)(uintptr_t)dout, (void *)(uintptr_t)inp, dweight},
                     visit_weight);
    }
    if (!dbias) return;
    clear(dbias, z->O, acc_bias);
    for (int64_t i = 0; i < z->B * z->OH * z->OW * z->O; i++)
        ((double *)dbias)[i % z->O] += ((const double *)dout)[i];
}
