// Every op there is, and the one list of kernels from which device tables, prototypes and the tests'
// checklist come.
//
// Kernels take raw pointers, sizes and the device's stream; the prototype is the same on every device.
//   TYPE   is that of matrices and activations, "wide" (dtype_wide) that of vectors beside them (biases,
//          norm weights, statistics) and of weights' gradients. The CPU takes f32 and bf16, the oracle
//          f64.
//   acc    0 writes the result, 1 adds to what is there (first touch writes, later touches add).
//   d...   is a gradient. Optional pointers may be NULL; a gradient that is not wanted is NULL.
// Activations of images are NHWC, convolution weights OHWI. Draws are keyed by rng_key, sample, element.
#pragma once
#include "models/tape/tape.h"

// Sizes of a convolution or pooling: images (B, H, W, C), windows K x K, zero padding PAD, output
// (B, OH, OW, O).
typedef struct window_shape {
    int64_t B, H, W, C, O, OH, OW;
    int64_t K, stride, pad;
} window_shape;

// Sizes of an attention: queries (B, TQ, H, D), keys and values (B, TK, H, D).
typedef struct attention_shape {
    int64_t B, TQ, TK, H, D;
    double scale;       // scores are q.k * scale
    double dropout;     // of the probabilities; 0: none
    rng_key key;        // sample: first_sample + b; element: (h * TQ + i) * TK + j
    uint32_t first_sample;
} attention_shape;

// Which elements a dropout treats as one: element e of the (SAMPLES, PER_SAMPLE) tensor belongs to
// group e / GROUP of its sample. GROUP 1: ordinary dropout; GROUP = PER_SAMPLE: stochastic depth.
typedef struct dropout_shape {
    int64_t samples, per_sample, group;
    double rate;
    rng_key key;
    uint32_t first_sample;
} dropout_shape;

#define OP_KERNELS(X)                                                                              \
    /* conv2d: out (B,OH,OW,O), inp (B,H,W,C), weight (O,K,K,C), bias wide (O) or NULL */          \
    X(conv2d_forward, (void *out, const void *inp, const void *weight, const void *bias,           \
                       const window_shape *z, dtype type, void *scratch, stream *s))               \
    X(conv2d_backward_input, (void *dinp, const void *dout, const void *weight,                    \
                              const window_shape *z, int acc, dtype type, void *scratch,           \
                              stream *s))                                                          \
    X(conv2d_backward_weight, (void *dweight, void *dbias, const void *dout, const void *inp,      \
                               const window_shape *z, int acc_weight, int acc_bias, dtype type,    \
                               void *scratch, stream *s))                                          \
    /* sum_channels: out (rows), inp (rows, C): the sum over C; backward repeats */                \
    X(sum_channels_forward, (void *out, const void *inp, int64_t rows, int64_t C, dtype type,      \
                             stream *s))                                                           \
    X(sum_channels_backward, (void *dinp, const void *dout, int64_t rows, int64_t C, int acc,      \
                              dtype type, stream *s))                                              \
    /* batch_norm over rows = B*H*W of (rows, C); sums (2, C) in f64: see batch_norm.c */          \
    X(batch_norm_sums, (double *sums, const void *inp, int64_t rows, int64_t C, dtype type,        \
                        stream *s))                                                                \
    X(batch_norm_statistics, (void *mean, void *rstd, void *running_mean, void *running_var,       \
                              const double *sums, double count, double eps, double momentum,       \
                              int64_t C, dtype type, stream *s))                                   \
    X(batch_norm_rstd, (void *rstd, const void *running_var, double eps, int64_t C, dtype type,    \
                        stream *s))                                                                \
    X(batch_norm_apply, (void *out, const void *inp, const void *residual, const void *mean,       \
                         const void *rstd, const void *weight, const void *bias, int64_t rows,     \
                         int64_t C, int relu, dtype type, stream *s))                              \
    X(batch_norm_backward_sums, (double *sums, const void *dout, const void *out, const void *inp, \
                                 const void *mean, const void *rstd, int64_t rows, int64_t C,      \
                                 int relu, dtype type, stream *s))                                 \
    X(batch_norm_backward_params, (void *dweight, void *dbias, const double *sums, int64_t C,      \
                                   int acc_weight, int acc_bias, dtype type, stream *s))           \
    X(batch_norm_backward_apply, (void *dinp, void *dresidual, const void *dout, const void *out,  \
                                  const void *inp, const void *mean, const void *rstd,             \
                                  const void *weight, const double *sums, double count,            \
                                  int64_t rows, int64_t C, int relu, int acc_inp,                  \
                                  int acc_residual, dtype type, stream *s))                        \
    /* pools over z's windows; index (B,OH,OW,C) is the winner's place ky*K+kx in its window */    \
    X(max_pool2d_forward, (void *out, uint8_t *index, const void *inp, const window_shape *z,      \
                           dtype type, stream *s))                                                 \
    X(max_pool2d_backward, (void *dinp, const void *dout, const uint8_t *index,                    \
                            const window_shape *z, int acc, dtype type, stream *s))                \
    X(avg_pool2d_forward, (void *out, const void *inp, const window_shape *z, dtype type,          \
                           stream *s))                                                             \
    X(avg_pool2d_backward, (void *dinp, const void *dout, const window_shape *z, int acc,          \
                            dtype type, stream *s))                                                \
    /* mean_tokens: out (B, C), inp (B, T, C) */                                                   \
    X(mean_tokens_forward, (void *out, const void *inp, int64_t B, int64_t T, int64_t C,           \
                            dtype type, stream *s))                                                \
    X(mean_tokens_backward, (void *dinp, const void *dout, int64_t B, int64_t T, int64_t C,        \
                             int acc, dtype type, stream *s))                                      \
    /* linear: out (M, N), inp (M, K), weight (N, K), bias wide (N) or NULL */                     \
    X(linear_forward, (void *out, const void *inp, const void *weight, const void *bias,           \
                       int64_t M, int64_t N, int64_t K, dtype type, void *scratch, stream *s))     \
    X(linear_backward_input, (void *dinp, const void *dout, const void *weight, int64_t M,         \
                              int64_t N, int64_t K, int acc, dtype type, void *scratch,            \
                              stream *s))                                                          \
    X(linear_backward_weight, (void *dweight, void *dbias, const void *dout, const void *inp,      \
                               int64_t M, int64_t N, int64_t K, int acc_weight, int acc_bias,      \
                               dtype type, void *scratch, stream *s))                              \
    /* element-wise over n */                                                                      \
    X(relu_forward, (void *out, const void *inp, int64_t n, dtype type, stream *s))                \
    X(relu_backward, (void *dinp, const void *dout, const void *out, int64_t n, int acc,           \
                      dtype type, stream *s))                                                      \
    X(gelu_forward, (void *out, const void *inp, int64_t n, dtype type, stream *s))                \
    X(gelu_backward, (void *dinp, const void *dout, const void *inp, int64_t n, int acc,           \
                      dtype type, stream *s))                                                      \
    X(add_forward, (void *out, const void *a, const void *b, int64_t n, dtype type, stream *s))    \
    X(add_backward, (void *dinp, const void *dout, int64_t n, int acc, dtype type, stream *s))     \
    X(dropout_forward, (void *out, const void *inp, const dropout_shape *z, dtype type,            \
                        stream *s))                                                                \
    X(dropout_backward, (void *dinp, const void *dout, const dropout_shape *z, int acc,            \
                         dtype type, stream *s))                                                   \
    /* add_table: out (B, n) = inp (B, n) + table (n); dtable sums over B */                       \
    X(add_table_forward, (void *out, const void *inp, const void *table, int64_t B, int64_t n,     \
                          dtype type, stream *s))                                                  \
    X(add_table_backward, (void *dtable, const void *dout, int64_t B, int64_t n, int acc,          \
                           dtype type, dtype table_type, stream *s))                               \
    /* embedding: out (rows, D) = table (V, D) at index (rows); dtable in dtable_type */           \
    X(embedding_forward, (void *out, const void *table, const int32_t *index, int64_t rows,        \
                          int64_t V, int64_t D, dtype type, stream *s))                            \
    X(embedding_backward, (void *dtable, const void *dout, const int32_t *index, int64_t rows,     \
                           int64_t V, int64_t D, int acc, dtype type, dtype table_type,            \
                           stream *s))                                                             \
    /* concat_vector: out (rows, C1 + C2) = [inp (rows, C1), vector wide (C2)] */                  \
    X(concat_vector_forward, (void *out, const void *inp, const void *vector, int64_t rows,        \
                              int64_t C1, int64_t C2, dtype type, stream *s))                      \
    X(concat_vector_backward, (void *dinp, void *dvector, const void *dout, int64_t rows,          \
                               int64_t C1, int64_t C2, int acc_inp, int acc_vector, dtype type,    \
                               stream *s))                                                         \
    /* copy_tokens: for each b, part (B, n) <-> whole (B, total) at offset; all in elements */     \
    X(take_tokens, (void *part, const void *whole, int64_t B, int64_t n, int64_t total,            \
                    int64_t offset, int acc, dtype type, stream *s))                               \
    X(put_tokens, (void *whole, const void *part, int64_t B, int64_t n, int64_t total,             \
                   int64_t offset, int acc, dtype type, stream *s))                                \
    /* transpose: out (B, C, S), inp (B, S, C) */                                                  \
    X(transpose, (void *out, const void *inp, int64_t B, int64_t S, int64_t C, int acc,            \
                  dtype type, stream *s))                                                          \
    /* layer_norm: (rows, D); mean, rstd (rows), weight, bias (D) wide */                          \
    X(layer_norm_forward, (void *out, void *mean, void *rstd, const void *inp, const void *weight, \
                           const void *bias, int64_t rows, int64_t D, double eps, dtype type,      \
                           stream *s))                                                             \
    X(layer_norm_backward, (void *dinp, void *dweight, void *dbias, const void *dout,              \
                            const void *inp, const void *mean, const void *rstd,                   \
                            const void *weight, int64_t rows, int64_t D, int acc_inp,              \
                            int acc_weight, int acc_bias, dtype type, void *scratch, stream *s))   \
    /* attention: out (B,TQ,H,D); lse wide (B,H,TQ) = log of the softmax's denominator */          \
    X(attention_forward, (void *out, void *lse, const void *q, const void *k, const void *v,       \
                          const attention_shape *z, dtype type, void *scratch, stream *s))         \
    X(attention_backward, (void *dq, void *dk, void *dv, const void *dout, const void *out,        \
                           const void *lse, const void *q, const void *k, const void *v,           \
                           const attention_shape *z, int acc_q, int acc_k, int acc_v, dtype type,  \
                           void *scratch, stream *s))                                              \
    /* image: out (B, pixels) = lut f32 (B, 256) at bytes (B, pixels) */                           \
    X(image_from_bytes, (void *out, const uint8_t *bytes, const float *lut, int64_t B,             \
                         int64_t pixels, dtype type, stream *s))                                   \
    /* sigmoid_cross_entropy: loss wide (1) = sum over (B, C) of mask[c] * l(b, c) / count */      \
    X(sigmoid_cross_entropy_forward, (void *loss, const void *logits, const uint8_t *target,       \
                                      const float *positive_weight, const float *mask, int64_t B,  \
                                      int64_t C, double count, dtype type, stream *s))             \
    X(sigmoid_cross_entropy_backward, (void *dlogits, const void *dloss, const void *logits,       \
                                       const uint8_t *target, const float *positive_weight,        \
                                       const float *mask, int64_t B, int64_t C, double count,      \
                                       int acc, dtype type, stream *s))

// Bytes of scratch that the calls above want (the most over forward and backward). Also asked in dry
// runs, on the real device.
#define OP_QUERIES(X)                                                                              \
    X(conv2d_scratch, (const window_shape *z, dtype type, stream *s))                              \
    X(linear_scratch, (int64_t M, int64_t N, int64_t K, dtype type, stream *s))                    \
    X(layer_norm_scratch, (int64_t rows, int64_t D, dtype type, stream *s))                        \
    X(attention_scratch, (const attention_shape *z, dtype type, stream *s))

struct op_kernels {
#define X(name, args) void(*name) args;
    OP_KERNELS(X)
#undef X
#define X(name, args) size_t(*name) args;
    OP_QUERIES(X)
#undef X
};

#define X(name, args) void name##_cpu args;
OP_KERNELS(X)
#undef X
#define X(name, args) size_t name##_cpu args;
OP_QUERIES(X)
#undef X

extern const struct op_kernels op_kernels_cpu;

// The names of all kernels, ended by NULL: the tests' checklist.
extern const char *const op_kernel_names[];

// A device like REAL (borrowed) whose kernels and transfers do nothing: for dry runs.
status device_open_dry(device **out, device *real);

// --- the ops ---------------------------------------------------------------------------------------
// Each returns new tensors of the tape. Shapes are checked; a wrong one is a bug of ours and dies.
// Sources are named in each op's file.

// (B,H,W,C) x (O,K,K,C) [+ (O)] -> (B,OH,OW,O), OH = (H + 2 pad - K) / stride + 1.
tensor *conv2d(tape *t, tensor *inp, tensor *weight, tensor *bias, int stride, int pad);

// The weight of a convolution over C equal input channels as one over a single channel:
// (O,K,K,C) -> (O,K,K,1), the sum over C. Exact in forward and backward (in real numbers).
tensor *sum_channels(tape *t, tensor *weight);

// Batch normalisation of (..., C) over all other dimensions, then + residual (may be NULL), then ReLU
// (if asked for). BATCH true: this batch's statistics, summed over the ranks; running_mean and
// running_var (C) are updated in place with MOMENTUM (torch's: new = (1-m) old + m batch, unbiased
// variance). BATCH false: the running statistics.
typedef struct batch_norm_args {
    tensor *weight, *bias, *running_mean, *running_var; // (C) wide
    tensor *residual;
    double eps, momentum;
    bool batch, relu;
} batch_norm_args;
tensor *batch_norm(tape *t, tensor *inp, batch_norm_args a);

tensor *max_pool2d(tape *t, tensor *inp, int k, int stride, int pad);
tensor *avg_pool2d(tape *t, tensor *inp, int k, int stride);
// (B, ..., C) -> (B, C), the mean over all dimensions between.
tensor *mean_tokens(tape *t, tensor *inp);

// (..., K) x (N, K) [+ (N)] -> (..., N).
tensor *linear(tape *t, tensor *inp, tensor *weight, tensor *bias);
tensor *relu(tape *t, tensor *inp);
tensor *gelu(tape *t, tensor *inp); // exact, with erf
tensor *add(tape *t, tensor *a, tensor *b);
// Each sample is inp's first dimension; off (returns INP) unless the tape is training and RATE > 0.
tensor *dropout(tape *t, tensor *inp, double rate);
// Drops whole samples (stochastic depth, Huang et al. 2016; "row" mode).
tensor *drop_path(tape *t, tensor *inp, double rate);
// (B, T, D) + (T, D).
tensor *add_table(tape *t, tensor *inp, tensor *table);
// (V, D) at (rows) i32 -> (rows, D).
tensor *embedding(tape *t, tensor *table, tensor *index);
// (..., C1), (C2) -> (..., C1 + C2): the vector at every position.
tensor *concat_vector(tape *t, tensor *inp, tensor *vector);
// (B, T1, D), (B, T2, D) -> (B, T1 + T2, D).
tensor *concat_tokens(tape *t, tensor *a, tensor *b);
// (B, T, D) -> (B, COUNT, D), tokens from FIRST on.
tensor *slice_tokens(tape *t, tensor *inp, int64_t first, int64_t count);
// (B, ..., C) -> (B, C, ...): channel-major order, as PyTorch flattens images.
tensor *channels_first(tape *t, tensor *inp);
tensor *layer_norm(tape *t, tensor *inp, tensor *weight, tensor *bias, double eps);
// (B,TQ,H,D), (B,TK,H,D) twice -> (B,TQ,H,D): softmax(q k^T / sqrt(D)) v per head.
tensor *attention(tape *t, tensor *q, tensor *k, tensor *v, double dropout_rate);
// u8 (B,H,W) and f32 (B,256) -> (B,H,W,1).
tensor *image_from_bytes(tape *t, tensor *bytes, tensor *lut);
// logits (B,C), target u8 (B,C), positive_weight f32 (C), mask f32 (C) -> loss, rank 0. Divided by
// COUNT, which a caller sets to the global number of counted elements.
tensor *sigmoid_cross_entropy(tape *t, tensor *logits, tensor *target, tensor *positive_weight,
                              tensor *mask, double count);
