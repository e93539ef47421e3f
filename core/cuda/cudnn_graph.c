#include "core/cuda/cudnn_private.h"

#include <stdio.h>
#include <string.h>

void graph_begin(graph *g, cudnn *c) {
    memset(g, 0, sizeof *g);
    g->c = c;
    g->unnamed = 1000;
}

// --- attributes ----------------------------------------------------------------------------------
static void keep_error(graph *g, cudnnStatus_t e, const char *what) {
    char text[192] = "";
    if (!e || *g->why) return;
    g->c->f.cudnnGetLastErrorString(text, sizeof text);
    snprintf(g->why, sizeof g->why, "%s: %.190s", what,
             *text ? text : g->c->f.cudnnGetErrorString(e));
}

static node make(graph *g, cudnnBackendDescriptorType_t type) {
    node n = NULL;
    if (*g->why) return NULL;
    if (g->nodes == GRAPH_NODES) die("cuDNN: a graph of more than %d descriptors", GRAPH_NODES);
    keep_error(g, g->c->f.cudnnBackendCreateDescriptor(type, &n), "a descriptor");
    if (n) g->node[g->nodes++] = n;
    return n;
}

static void set(graph *g, node n, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *value) {
    char what[32];
    if (*g->why) return;
    snprintf(what, sizeof what, "attribute %d", (int)name);
    keep_error(g, g->c->f.cudnnBackendSetAttribute(n, name, type, count, value), what);
}

static void set_type(graph *g, node n, cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    set(g, n, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}

// Nothing where VALUE is NULL: an input that this operation goes without.
static void set_node(graph *g, node n, cudnnBackendAttributeName_t name, node value) {
    if (value) set(g, n, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void set_numbers(graph *g, node n, cudnnBackendAttributeName_t name, int64_t count,
                        const int64_t *value) {
    set(g, n, name, CUDNN_TYPE_INT64, count, value);
}

static void set_flag(graph *g, node n, cudnnBackendAttributeName_t name, bool value) {
    set(g, n, name, CUDNN_TYPE_BOOLEAN, 1, &value);
}

static node done(graph *g, node n, const char *what) {
    if (!*g->why) keep_error(g, g->c->f.cudnnBackendFinalize(n), what);
    return n;
}

static void add(graph *g, node operation, const char *what) {
    done(g, operation, what);
    if (*g->why) return;
    if (g->operations == GRAPH_OPERATIONS)
        die("cuDNN: a graph of more than %d operations", GRAPH_OPERATIONS);
    g->operation[g->operations++] = operation;
}

// --- tensors -------------------------------------------------------------------------------------
cudnnDataType_t graph_type(int64_t type) {
    if (type == DTYPE_F32) return CUDNN_DATA_FLOAT;
    if (type == DTYPE_BF16) return CUDNN_DATA_BFLOAT16;
    if (type == DTYPE_F16) return CUDNN_DATA_HALF;
    die("cuDNN: tensors of %s", dtype_name((dtype)type));
}

shape shape_image(int64_t B, int64_t H, int64_t W, int64_t C) {
    return (shape){{B, C, H, W}, {H * W * C, 1, W * C, C}};
}

shape shape_channels(int64_t C) {
    return shape_image(1, 1, 1, C);
}

shape shape_turned(const shape *x) {
    shape t = *x;
    t.dim[2] = x->dim[3];
    t.dim[3] = x->dim[2];
    t.stride[2] = x->stride[3];
    t.stride[3] = x->stride[2];
    return t;
}

typedef enum tensor_kind { IN_MEMORY, VIRTUAL, BY_VALUE } tensor_kind;

static node make_tensor(graph *g, int64_t uid, cudnnDataType_t type, const shape *x,
                        tensor_kind kind, node offsets) {
    static const int64_t alignment = 16; // bytes: of what vectors of 128 bits are loaded from
    node n = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set_type(g, n, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    set_numbers(g, n, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, x->dim);
    set_numbers(g, n, CUDNN_ATTR_TENSOR_STRIDES, 4, x->stride);
    set_numbers(g, n, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment);
    set_numbers(g, n, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &uid);
    set_flag(g, n, CUDNN_ATTR_TENSOR_IS_VIRTUAL, kind == VIRTUAL);
    set_flag(g, n, CUDNN_ATTR_TENSOR_IS_BY_VALUE, kind == BY_VALUE);
    set_node(g, n, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, offsets);
    return done(g, n, "a tensor");
}

node graph_tensor(graph *g, int64_t uid, cudnnDataType_t type, const shape *x, node offsets) {
    return make_tensor(g, uid, type, x, IN_MEMORY, offsets);
}

node graph_virtual(graph *g, cudnnDataType_t type, const shape *x) {
    return make_tensor(g, g->unnamed++, type, x, VIRTUAL, NULL);
}

node graph_scalar(graph *g, int64_t uid) {
    static const shape one = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    return make_tensor(g, uid, CUDNN_DATA_FLOAT, &one, BY_VALUE, NULL);
}

// --- operations of one node ----------------------------------------------------------------------
static node pointwise(graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t math,
                      const int64_t *axis) {
    node n = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(g, n, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_type(g, n, CUDNN_ATTR_POINTWISE_MATH_PREC, math);
    if (axis) set_numbers(g, n, CUDNN_ATTR_POINTWISE_AXIS, 1, axis);
    done(g, n, "a pointwise mode");
    node operation = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_node(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, n);
    return operation;
}

void graph_pointwise(graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t math, node x, node b,
                     node t, node out) {
    node n = pointwise(g, mode, math, NULL);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    add(g, n, "a pointwise operation");
}

void graph_index(graph *g, node x, int64_t axis, node out) {
    node n = pointwise(g, CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32, &axis);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, out);
    add(g, n, "an index");
}

void graph_relu_backward(graph *g, node x, node dy, node dx) {
    node n = pointwise(g, CUDNN_POINTWISE_RELU_BWD, CUDNN_DATA_FLOAT, NULL);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, dy);
    set_node(g, n, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC, dx);
    add(g, n, "ReLU's gradient");
}

void graph_reduce(graph *g, cudnnReduceTensorOp_t how, node x, node out) {
    node d = make(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    set(g, d, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &how);
    set_type(g, d, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    done(g, d, "a reduction");
    node n = make(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    set_node(g, n, CUDNN_ATTR_OPERATION_REDUCTION_DESC, d);
    set_node(g, n, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    set_node(g, n, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, out);
    add(g, n, "a reduction");
}

void graph_reshape(graph *g, node x, node out) {
    node n = make(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    set_node(g, n, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    set_node(g, n, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, out);
    add(g, n, "a reshape");
}

void graph_matmul(graph *g, node a, node b, node out, node M, node N, node K, bool padded) {
    const double zero = 0;
    node d = make(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set_type(g, d, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
    if (padded) set(g, d, CUDNN_ATTR_MATMUL_PADDING_VALUE, CUDNN_TYPE_DOUBLE, 1, &zero);
    done(g, d, "a matrix product");
    node n = make(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_DESC, d);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_CDESC, out);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, M);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, N);
    set_node(g, n, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, K);
    add(g, n, "a matrix product");
}

// --- convolutions --------------------------------------------------------------------------------
static node conv_window(graph *g, const cudnn_conv *z) {
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t two = 2, one[2] = {1, 1}, stride[2] = {z->stride, z->stride},
                  pad[2] = {z->pad, z->pad};
    node n = make(g, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    set_type(g, n, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    set(g, n, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_numbers(g, n, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &two);
    set_numbers(g, n, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, one);
    set_numbers(g, n, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride);
    set_numbers(g, n, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad);
    set_numbers(g, n, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad);
    return done(g, n, "a convolution's window");
}

void graph_conv(graph *g, conv_pass pass, const cudnn_conv *z, node image, node weight, node out) {
    enum { TYPE, ALPHA, BETA, WINDOW, IMAGE, WEIGHT, OUT, NAMES };
    static const int name[3][NAMES] = {
        [CONV_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
        [CONV_BACKWARD_INPUT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
        [CONV_BACKWARD_WEIGHT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
    };
    const int *as = name[pass];
    const float one = 1, zero = 0;
    node window = conv_window(g, z);
    node n = make(g, (cudnnBackendDescriptorType_t)as[TYPE]);
    set(g, n, (cudnnBackendAttributeName_t)as[ALPHA], CUDNN_TYPE_FLOAT, 1, &one);
    set(g, n, (cudnnBackendAttributeName_t)as[BETA], CUDNN_TYPE_FLOAT, 1, &zero);
    set_node(g, n, (cudnnBackendAttributeName_t)as[WINDOW], window);
    set_node(g, n, (cudnnBackendAttributeName_t)as[IMAGE], image);
    set_node(g, n, (cudnnBackendAttributeName_t)as[WEIGHT], weight);
    set_node(g, n, (cudnnBackendAttributeName_t)as[OUT], out);
    add(g, n, "a convolution");
}

void graph_statistics(graph *g, node x, node sum, node squares) {
    const cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;
    node n = make(g, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
    set(g, n, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
    set_type(g, n, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_DATA_FLOAT);
    set_node(g, n, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, x);
    set_node(g, n, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum);
    set_node(g, n, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, squares);
    add(g, n, "statistics");
}

void graph_norm_backward(graph *g, const norm_nodes *n) {
    const struct {
        cudnnBackendAttributeName_t name;
        node value;
    } part[] = {
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC, n->x},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC, n->dy},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC, n->mean},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC, n->inverse},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC, n->scale},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, n->dscale},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC, n->dbias},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC, n->of_dy},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, n->of_x},
        {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS, n->constant},
    };
    node operation = make(g, CUDNN_BACKEND_OPERATION_BN_BWD_WEIGHTS_DESCRIPTOR);
    set_type(g, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MATH_PREC, CUDNN_DATA_FLOAT);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        set_node(g, operation, part[i].name, part[i].value);
    add(g, operation, "batch norm's gradient");
}
