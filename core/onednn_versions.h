// What versions 2.x and 3.x of oneDNN say differently: layouts of memory and descriptions of operations.
// For core/onednn.c only.
#pragma once
#include "core/onednn.h"

#include <oneapi/dnnl/dnnl.h>

typedef dnnl_data_type_t number;

typedef enum kind { CONV_FORWARD, CONV_BACKWARD_INPUT, CONV_BACKWARD_WEIGHT, MATMUL, KINDS } kind;

// The layer's two sides, its weight as oneDNN wants it, its weight as we have it.
// HINT is the weight of the forward convolution that backward ones want to see.
enum { INPUT, WEIGHT, BIAS, OUTPUT, SCRATCHPAD, PLAIN, PARTS, HINT = PARTS, LAYOUTS };

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t layout_view;

static inline layout_view layout_of(const layout *l) {
    return *l;
}

static inline void layout_free(layout *l) {
    if (*l) dnnl_memory_desc_destroy(*l);
}

static inline dnnl_status_t layout_strided(layout *l, number type, int rank, const dnnl_dims_t dim,
                                           const dnnl_dims_t stride) {
    return dnnl_memory_desc_create_with_strides(l, rank, dim, type, stride);
}

static inline dnnl_status_t layout_any(layout *l, number type, int rank, const dnnl_dims_t dim) {
    return dnnl_memory_desc_create_with_tag(l, rank, dim, type, dnnl_format_tag_any);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t describe_conv(dnnl_primitive_desc_t *out, dnnl_engine_t engine, kind k,
                                          const layout_view *side, const onednn_conv *z,
                                          dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr) {
    const dnnl_dims_t stride = {z->stride, z->stride}, pad = {z->pad, z->pad}, dilate = {0, 0};
    const dnnl_alg_kind_t how = dnnl_convolution_direct;
    if (k == CONV_FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            out, engine, dnnl_forward_training, how, side[INPUT], side[WEIGHT], side[BIAS],
            side[OUTPUT], stride, dilate, pad, pad, attr);
    if (k == CONV_BACKWARD_INPUT)
        return dnnl_convolution_backward_data_primitive_desc_create(
            out, engine, how, side[INPUT], side[WEIGHT], side[OUTPUT], stride, dilate, pad, pad,
            hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, engine, how, side[INPUT], side[WEIGHT], NULL, side[OUTPUT], stride, dilate, pad, pad,
        hint, attr);
}

static inline dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                            const layout_view *side, dnnl_primitive_attr_t attr) {
    return dnnl_matmul_primitive_desc_create(out, engine, side[INPUT], side[WEIGHT], side[BIAS],
                                             side[OUTPUT], attr);
}

#else

typedef dnnl_memory_desc_t layout;
typedef const dnnl_memory_desc_t *layout_view;

static inline layout_view layout_of(const layout *l) {
    return l->ndims ? l : NULL;
}

static inline void layout_free(layout *l) {
    (void)l;
}

static inline dnnl_status_t layout_strided(layout *l, number type, int rank, const dnnl_dims_t dim,
                                           const dnnl_dims_t stride) {
    return dnnl_memory_desc_init_by_strides(l, rank, dim, type, stride);
}

static inline dnnl_status_t layout_any(layout *l, number type, int rank, const dnnl_dims_t dim) {
    return dnnl_memory_desc_init_by_tag(l, rank, dim, type, dnnl_format_tag_any);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1);
}

static inline dnnl_status_t describe_conv(dnnl_primitive_desc_t *out, dnnl_engine_t engine, kind k,
                                          const layout_view *side, const onednn_conv *z,
                                          dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr) {
    const dnnl_dims_t stride = {z->stride, z->stride}, pad = {z->pad, z->pad};
    const dnnl_alg_kind_t how = dnnl_convolution_direct;
    dnnl_convolution_desc_t d;
    dnnl_status_t e;
    if (k == CONV_FORWARD)
        e = dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, how, side[INPUT],
                                               side[WEIGHT], side[BIAS], side[OUTPUT], stride, pad,
                                               pad);
    else if (k == CONV_BACKWARD_INPUT)
        e = dnnl_convolution_backward_data_desc_init(&d, how, side[INPUT], side[WEIGHT],
                                                     side[OUTPUT], stride, pad, pad);
    else
        e = dnnl_convolution_backward_weights_desc_init(&d, how, side[INPUT], side[WEIGHT], NULL,
                                                        side[OUTPUT], stride, pad, pad);
    return e ? e : dnnl_primitive_desc_create(out, &d, attr, engine, hint);
}

static inline dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                            const layout_view *side, dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t d;
    dnnl_status_t e =
        dnnl_matmul_desc_init(&d, side[INPUT], side[WEIGHT], side[BIAS], side[OUTPUT]);
    return e ? e : dnnl_primitive_desc_create(out, &d, attr, engine, NULL);
}

#endif
