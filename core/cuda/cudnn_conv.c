// Convolutions alone and fused with the parts of batch norm beside them (core/cuda/cudnn_fused.h),
// as graphs.
#include "core/cuda/cudnn_fused.h"
#include "core/cuda/cudnn_private.h"

#include <stdio.h>

// Plain ones come behind the fused ones of cudnn_fused.
enum { FORWARD = CUDNN_FUSED_COUNT, BACKWARD_INPUT, BACKWARD_WEIGHT, KINDS };

static const char *const title[KINDS] = {
#define X(name, text) [CUDNN_##name] = text,
    CUDNN_FUSED_LIST(X)
#undef X
        [FORWARD] = "convolution",
    [BACKWARD_INPUT] = "convolution's input gradient",
    [BACKWARD_WEIGHT] = "convolution's weight gradient",
};

// What a plan depends on; 64-bit throughout, so that no padding is compared.
typedef struct recipe {
    int64_t kind;
    cudnn_conv sizes;
} recipe;

// The tensors' numbers in graphs.
enum {
    IMAGE = 1, // (B,H,W,C) or its gradient
    WEIGHT,    // (O,K,K,C) or its gradient
    OUT,       // (B,OH,OW,O) or its gradient
    SUM,
    SQUARES,
    SCALE,
    BIAS,
    MEAN,
    INVERSE,
    DY,
    DSCALE,
    DBIAS,
    OF_DY,
    OF_X,
    CONSTANT,
};

// --- graphs --------------------------------------------------------------------------------------
typedef struct sides {
    cudnnDataType_t type;
    shape image, out, inputs, outputs; // the latter two: one number per channel
    node weight;
} sides;

static sides sides_of(graph *g, const recipe *r) {
    const cudnn_conv *z = &r->sizes;
    const cudnnDataType_t type = graph_type(z->type);
    const shape weight = shape_image(z->O, z->K, z->K, z->C);
    return (sides){
        .type = type,
        .image = shape_image(z->B, z->H, z->W, z->C),
        .out = shape_image(z->B, z->OH, z->OW, z->O),
        .inputs = shape_channels(z->C),
        .outputs = shape_channels(z->O),
        .weight = graph_tensor(g, WEIGHT, type, &weight, NULL),
    };
}

static node channels(graph *g, int64_t uid, const shape *of) {
    return graph_tensor(g, uid, CUDNN_DATA_FLOAT, of, NULL);
}

// x SCALE + BIAS, in f32.
static node scaled(graph *g, node x, cudnnDataType_t type, const shape *of, const shape *channel) {
    const cudnnDataType_t f32 = CUDNN_DATA_FLOAT;
    node scale = graph_tensor(g, SCALE, type, channel, NULL),
         bias = graph_tensor(g, BIAS, type, channel, NULL);
    node product = graph_virtual(g, f32, of), sum = graph_virtual(g, f32, of);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, f32, x, scale, NULL, product);
    graph_pointwise(g, CUDNN_POINTWISE_ADD, f32, product, bias, NULL, sum);
    return sum;
}

// The input that a convolution sees: the image, or norm and ReLU of it.
static node seen_image(graph *g, const sides *x, bool norm) {
    node image = graph_tensor(g, IMAGE, x->type, &x->image, NULL);
    if (!norm) return image;
    node seen = graph_virtual(g, x->type, &x->image);
    graph_pointwise(g, CUDNN_POINTWISE_RELU_FWD, CUDNN_DATA_FLOAT,
                    scaled(g, image, x->type, &x->image, &x->inputs), NULL, NULL, seen);
    return seen;
}

static void forward_graph(graph *g, const recipe *r) {
    const sides x = sides_of(g, r);
    node out = graph_tensor(g, OUT, x.type, &x.out, NULL);
    graph_conv(g, CONV_FORWARD, &r->sizes, seen_image(g, &x, r->kind == CUDNN_NORM_CONV_STATS),
               x.weight, out);
    if (r->kind != FORWARD)
        graph_statistics(g, out, channels(g, SUM, &x.outputs), channels(g, SQUARES, &x.outputs));
}

static void inference_graph(graph *g, const recipe *r) {
    const sides x = sides_of(g, r);
    node raw = graph_virtual(g, CUDNN_DATA_FLOAT, &x.out),
         out = graph_tensor(g, OUT, x.type, &x.out, NULL);
    graph_conv(g, CONV_FORWARD, &r->sizes, graph_tensor(g, IMAGE, x.type, &x.image, NULL), x.weight,
               raw);
    graph_pointwise(g, CUDNN_POINTWISE_RELU_FWD, CUDNN_DATA_FLOAT,
                    scaled(g, raw, CUDNN_DATA_FLOAT, &x.out, &x.outputs), NULL, NULL, out);
}

static void backward_graph(graph *g, const recipe *r) {
    const sides x = sides_of(g, r);
    node dout = graph_tensor(g, OUT, x.type, &x.out, NULL);
    if (r->kind == BACKWARD_INPUT)
        graph_conv(g, CONV_BACKWARD_INPUT, &r->sizes,
                   graph_tensor(g, IMAGE, x.type, &x.image, NULL), x.weight, dout);
    else
        graph_conv(g, CONV_BACKWARD_WEIGHT, &r->sizes,
                   seen_image(g, &x, r->kind == CUDNN_NORM_BACKWARD_WEIGHT), x.weight, dout);
}

// y = (x - mean) inverse scale + bias, again: only its sign is wanted, and x is read in any case.
static node normalised(graph *g, const sides *x, const norm_nodes *n) {
    const cudnnDataType_t f32 = CUDNN_DATA_FLOAT;
    node bias = channels(g, BIAS, &x->inputs), step[4];
    for (int i = 0; i < 4; i++) step[i] = graph_virtual(g, f32, &x->image);
    graph_pointwise(g, CUDNN_POINTWISE_SUB, f32, n->x, n->mean, NULL, step[0]);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, f32, step[0], n->inverse, NULL, step[1]);
    graph_pointwise(g, CUDNN_POINTWISE_MUL, f32, step[1], n->scale, NULL, step[2]);
    graph_pointwise(g, CUDNN_POINTWISE_ADD, f32, step[2], bias, NULL, step[3]);
    return step[3];
}

static void backward_norm_graph(graph *g, const recipe *r) {
    const sides x = sides_of(g, r);
    const shape *channel = &x.inputs;
    node dout = graph_tensor(g, OUT, x.type, &x.out, NULL);
    node dseen = graph_virtual(g, CUDNN_DATA_FLOAT, &x.image);
    norm_nodes n = {.x = graph_tensor(g, IMAGE, x.type, &x.image, NULL),
                    .dy = graph_tensor(g, DY, x.type, &x.image, NULL),
                    .mean = channels(g, MEAN, channel),
                    .inverse = channels(g, INVERSE, channel),
                    .scale = channels(g, SCALE, channel)};
    graph_conv(g, CONV_BACKWARD_INPUT, &r->sizes, dseen, x.weight, dout);
    graph_relu_backward(g, normalised(g, &x, &n), dseen, n.dy);
    n.dscale = channels(g, DSCALE, channel);
    n.dbias = channels(g, DBIAS, channel);
    n.of_dy = channels(g, OF_DY, channel);
    n.of_x = channels(g, OF_X, channel);
    n.constant = channels(g, CONSTANT, channel);
    graph_norm_backward(g, &n);
}

static void (*const build[KINDS])(graph *g, const recipe *r) = {
    [FORWARD] = forward_graph,
    [BACKWARD_INPUT] = backward_graph,
    [BACKWARD_WEIGHT] = backward_graph,
    [CUDNN_CONV_STATS] = forward_graph,
    [CUDNN_NORM_CONV_STATS] = forward_graph,
    [CUDNN_NORM_BACKWARD_WEIGHT] = backward_graph,
    [CUDNN_BACKWARD_INPUT_NORM] = backward_norm_graph,
    [CUDNN_CONV_NORM_RELU] = inference_graph,
};

static void build_plan(graph *g, char what[256], const void *key) {
    const recipe *r = key;
    const cudnn_conv *z = &r->sizes;
    build[r->kind](g, r);
    snprintf(what, 256,
             "%s of (%lld, %lld, %lld, %lld) to %lld channels, window %lld, stride %lld, padding "
             "%lld, %s",
             title[r->kind], (long long)z->B, (long long)z->H, (long long)z->W, (long long)z->C,
             (long long)z->O, (long long)z->K, (long long)z->stride, (long long)z->pad,
             dtype_name((dtype)z->type));
}

static const plan *plan_find(stream *s, int64_t kind, const cudnn_conv *z) {
    const recipe r = {kind, *z};
    const bool exact = z->type == DTYPE_F32 && !stream_cuda(s)->cudnn->tf32;
    return plan_of(s, &r, sizeof r, build_plan, (plan_rules){.no_tensor_cores = exact});
}

// --- running -------------------------------------------------------------------------------------
static size_t scratch_of(stream *s, int64_t kind, const cudnn_conv *z) {
    const plan *p = plan_find(s, kind, z);
    return p ? p->workspace : 0;
}

size_t cudnn_conv_scratch(const cudnn_conv *z, stream *s) {
    size_t most = 0;
    if (!z->B) return 0;
    for (int64_t kind = FORWARD; kind < KINDS; kind++) {
        size_t bytes = scratch_of(s, kind, z);
        if (bytes > most) most = bytes;
    }
    return most;
}

bool cudnn_conv_takes(cudnn_conv_pass pass, const cudnn_conv *z, stream *s) {
    const plan *p = plan_find(s, FORWARD + (int64_t)pass, z);
    return p && p->plan;
}

bool cudnn_fused_takes(cudnn_fused what, const cudnn_conv *z, stream *s) {
    const plan *p = plan_find(s, what, z);
    return p && p->plan;
}

size_t cudnn_fused_scratch(cudnn_fused what, const cudnn_conv *z, stream *s) {
    return z->B ? scratch_of(s, what, z) : 0;
}

static void run(int64_t kind, const cudnn_conv *z, const plan_tensors *t, void *scratch,
                stream *s) {
    plan_run(plan_find(s, kind, z), t, scratch, s);
}

static plan_tensors three(const void *image, const void *weight, const void *out) {
    plan_tensors t = {0};
    plan_tensor(&t, IMAGE, image);
    plan_tensor(&t, WEIGHT, weight);
    plan_tensor(&t, OUT, out);
    return t;
}

void cudnn_conv_forward(void *out, const void *inp, const void *weight, const cudnn_conv *z,
                        void *scratch, stream *s) {
    const plan_tensors t = three(inp, weight, out);
    if (z->B) run(FORWARD, z, &t, scratch, s);
}

void cudnn_conv_backward_input(void *dinp, const void *dout, const void *weight,
                               const cudnn_conv *z, void *scratch, stream *s) {
    const plan_tensors t = three(dinp, weight, dout);
    if (z->B) run(BACKWARD_INPUT, z, &t, scratch, s);
}

void cudnn_conv_backward_weight(void *dweight, const void *dout, const void *inp,
                                const cudnn_conv *z, void *scratch, stream *s) {
    const plan_tensors t = three(inp, dweight, dout);
    if (z->B) {
        run(BACKWARD_WEIGHT, z, &t, scratch, s);
        return;
    }
    // A batch without rows.
    const size_t bytes = (size_t)(z->O * z->K * z->K * z->C) * dtype_size((dtype)z->type);
    CUDA_CHECK(s, cudaMemsetAsync(dweight, 0, bytes, stream_cuda(s)->handle));
}

void cudnn_conv_stats(void *out, float *sum, float *squares, const void *inp, const void *weight,
                      const cudnn_conv *z, void *scratch, stream *s) {
    plan_tensors t = three(inp, weight, out);
    plan_tensor(&t, SUM, sum);
    plan_tensor(&t, SQUARES, squares);
    run(CUDNN_CONV_STATS, z, &t, scratch, s);
}

void cudnn_norm_conv_stats(void *out, float *sum, float *squares, const void *inp,
                           const void *scale, const void *bias, const void *weight,
                           const cudnn_conv *z, void *scratch, stream *s) {
    plan_tensors t = three(inp, weight, out);
    plan_tensor(&t, SUM, sum);
    plan_tensor(&t, SQUARES, squares);
    plan_tensor(&t, SCALE, scale);
    plan_tensor(&t, BIAS, bias);
    run(CUDNN_NORM_CONV_STATS, z, &t, scratch, s);
}

void cudnn_norm_backward_weight(void *dweight, const void *dout, const void *inp, const void *scale,
                                const void *bias, const cudnn_conv *z, void *scratch, stream *s) {
    plan_tensors t = three(inp, dweight, dout);
    plan_tensor(&t, SCALE, scale);
    plan_tensor(&t, BIAS, bias);
    run(CUDNN_NORM_BACKWARD_WEIGHT, z, &t, scratch, s);
}

void cudnn_backward_input_norm(const cudnn_norm_gradient *out, const void *dout, const void *weight,
                               const void *inp, const cudnn_norm *n, const cudnn_conv *z,
                               void *scratch, stream *s) {
    const struct {
        int64_t uid;
        const void *data;
    } part[] = {
        {MEAN, n->mean},   {INVERSE, n->inverse},     {SCALE, n->scale},   {BIAS, n->bias},
        {DY, out->dy},     {DSCALE, out->dscale},     {DBIAS, out->dbias}, {OF_DY, out->of_dy},
        {OF_X, out->of_x}, {CONSTANT, out->constant},
    };
    plan_tensors t = three(inp, weight, dout);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        plan_tensor(&t, part[i].uid, part[i].data);
    run(CUDNN_BACKWARD_INPUT_NORM, z, &t, scratch, s);
}

void cudnn_conv_norm_relu(void *out, const void *inp, const void *weight, const float *scale,
                          const float *bias, const cudnn_conv *z, void *scratch, stream *s) {
    plan_tensors t = three(inp, weight, out);
    plan_tensor(&t, SCALE, scale);
    plan_tensor(&t, BIAS, bias);
    run(CUDNN_CONV_NORM_RELU, z, &t, scratch, s);
}
