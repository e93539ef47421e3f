// What conv2d and norm_conv2d share on CUDA.
#pragma once
#include "models/ops/columns_cuda.cuh"
extern "C" {
#include "core/cuda/cudnn.h"
}

static inline cudnn_conv conv_of(const window_shape *z, dtype type) {
    return {z->B, z->H, z->W, z->C, z->O, z->OH, z->OW, z->K, z->stride, z->pad, type};
}

// A weight's gradient in the images' type, which is as wide as cuDNN writes it, into the wide one.
template <class T> struct weight_gradient_body {
    float *out;
    const T *inp;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        float x[V];
        load(x, inp + i);
        give(out + i, x, acc);
    }
};

template <class T>
static void give_weight(const char *name, void *dweight, const void *from, const window_shape *z, int acc, stream *s) {
    const weight_gradient_body<T> body = {(float *)dweight, (const T *)from, acc};
    each<PACK<T>>(name, z->O * z->K * z->K * z->C, body, aligned(dweight, from), s);
}
