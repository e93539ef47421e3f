// What the files core/cuda/cudnn*.c share: the library's functions, graphs while they are built,
// plans that are kept. The only header of ours that brings cuDNN's own.
//
// cuDNN's backend interface makes everything from descriptors with attributes: tensors, operations
// between them, a graph of operations, a plan that runs it with one engine. The functions here set
// those attributes and nothing more; which operations make a convolution or attention stands in
// cudnn_{conv,attention}.c.
#pragma once
#include "core/cuda/cudnn.h"
#include "core/cuda/stream.h"
#include "core/keyed.h"
#include "core/library.h"

#include <cudnn.h>

#define CUDNN_FUNCTIONS(X)                                                                         \
    X(cudnnBackendCreateDescriptor)                                                                \
    X(cudnnBackendDestroyDescriptor)                                                               \
    X(cudnnBackendExecute)                                                                         \
    X(cudnnBackendFinalize)                                                                        \
    X(cudnnBackendGetAttribute)                                                                    \
    X(cudnnBackendSetAttribute)                                                                    \
    X(cudnnCreate)                                                                                 \
    X(cudnnDestroy)                                                                                \
    X(cudnnGetErrorString)                                                                         \
    X(cudnnGetLastErrorString)                                                                     \
    X(cudnnGetVersion)                                                                             \
    X(cudnnSetStream)

typedef struct cudnn_functions {
    CUDNN_FUNCTIONS(LIBRARY_POINTER)
} cudnn_functions;

typedef cudnnBackendDescriptor_t node;

struct cudnn {
    library library, compiler; // cuDNN; NVRTC, which its engines compiled at run time want
    cudnn_functions f;
    cudnnHandle_t handle; // NULL with a described device
    node described;       // NULL with a real one
    bool tf32;
    keyed plans; // the sizes of a convolution or of attention, to plan
};

// --- plans ---------------------------------------------------------------------------------------
typedef struct plan {
    node plan;        // NULL: cuDNN has no engine for it, and WHY says so
    size_t workspace; // bytes
    char why[256];
    char what[256]; // names it in an error's text
} plan;

// What a plan may not do beside what is never allowed (sums in an order that changes; inputs
// rounded to narrower types).
typedef struct plan_rules {
    bool no_tensor_cores; // f32 in full
} plan_rules;

// The tensors of a run: which, by the number that the graph gave it, and where (host memory for
// scalars).
enum { PLAN_TENSORS = 24 };
typedef struct plan_tensors {
    int count;
    int64_t uid[PLAN_TENSORS];
    void *data[PLAN_TENSORS];
} plan_tensors;

void plan_tensor(plan_tensors *t, int64_t uid, const void *data);
// WORKSPACE has p->workspace bytes.
void plan_run(const plan *p, const plan_tensors *t, void *workspace, stream *s);

// --- graphs --------------------------------------------------------------------------------------
// While one is built. An error sticks: later calls do nothing, and the end is a plan without an engine.
enum { GRAPH_NODES = 256, GRAPH_OPERATIONS = 48 };
typedef struct graph {
    cudnn *c;
    int nodes, operations;
    node node[GRAPH_NODES]; // all that was made, to be given back
    node operation[GRAPH_OPERATIONS];
    int64_t unnamed; // numbers of virtual tensors
    char why[256];   // the first error; empty if none
} graph;

typedef struct shape {
    int64_t dim[4], stride[4];
} shape;

void graph_begin(graph *g, cudnn *c);
// Chooses an engine and builds the plan: heuristics first, then the fallback list.
void graph_end(graph *g, plan *out, plan_rules rules);

// Makes the graph that KEY asks for, and the words for WHAT.
typedef void plan_builder(graph *g, char what[256], const void *key);
// The plan for KEY (bytes without padding, of one size for each kind of key), built by BUILD if it is not yet;
// NULL after a failure. One without an engine is no failure yet.
const plan *plan_of(stream *s, const void *key, size_t key_bytes, plan_builder *build, plan_rules rules);

cudnnDataType_t graph_type(int64_t type); // of a dtype: f32, bf16, f16
shape shape_image(int64_t B, int64_t H, int64_t W,
                  int64_t C); // (B,H,W,C) in memory, (B,C,H,W) in name
shape shape_channels(int64_t C);
shape shape_turned(const shape *x); // the last two exchanged

// A tensor in memory. OFFSETS (may be NULL): where each sample begins, in elements.
node graph_tensor(graph *g, int64_t uid, cudnnDataType_t type, const shape *x, node offsets);
node graph_virtual(graph *g, cudnnDataType_t type, const shape *x);
node graph_scalar(graph *g, int64_t uid); // f32 in host memory

// OUT = MODE of X, B and T (NULL where it has fewer), computed in MATH.
void graph_pointwise(graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t math, node x, node b,
                     node t, node out);
void graph_index(graph *g, node x, int64_t axis, node out);
// DX = DY where X > 0.
void graph_relu_backward(graph *g, node x, node dy, node dx);
void graph_reduce(graph *g, cudnnReduceTensorOp_t how, node x, node out);
void graph_reshape(graph *g, node x, node out);
// OUT = A B. Lengths (NULL: full) of each sample's M, N, K; PADDED writes zeros beyond them.
void graph_matmul(graph *g, node a, node b, node out, node M, node N, node K, bool padded);

typedef enum conv_pass { CONV_FORWARD, CONV_BACKWARD_INPUT, CONV_BACKWARD_WEIGHT } conv_pass;
void graph_conv(graph *g, conv_pass pass, const cudnn_conv *z, node image, node weight, node out);
// Sums and sums of squares over all but the channels.
void graph_statistics(graph *g, node x, node sum, node squares);

typedef struct norm_nodes {
    node x, dy, mean, inverse, scale;          // in
    node dscale, dbias, of_dy, of_x, constant; // out: dx = of_dy dy + of_x x + constant
} norm_nodes;
void graph_norm_backward(graph *g, const norm_nodes *n);
