// The one list of kernels, from which device tables, prototypes and the tests' checklist come, and the
// sizes they take. Kernels are called by the ops beside this file; tests and benchmarks call them bare.
//
// Kernels take raw pointers, sizes and the device's stream; the prototype is the same on every device.
//   TYPE   is that of matrices and activations, "wide" (dtype_wide) that of vectors beside them (biases,
//          norm weights, statistics) and of weights' gradients. The CPU takes f32 and bf16, CUDA f32,
//          bf16 and f16, the oracle f64.
//   acc    0 writes the result, 1 adds to what is there (first touch writes, later touches add).
//   d...   is a gradient. Optional pointers may be NULL; a gradient that is not wanted is NULL.
// Activations of images are NHWC, convolution weights OHWI. Draws are keyed by rng_key, sample, element.
#pragma once
#include "core/device.h"
#include "core/rng.h"

// Sizes of a convolution or pooling: images (B, H, W, C), windows K x K, zero padding PAD, output
// (B, OH, OW, O).
typedef struct window_shape {
    int64_t B, H, W, C, O, OH, OW;
    int64_t K, stride, pad;
} window_shape;

// What a batch norm does to each channel: (x - mean) rstd weight + bias; wide (C) each.
typedef struct channel_norm {
    const void *mean, *rstd, *weight, *bias;
} channel_norm;

// One sequence of an attention over packed rows: which rows its queries and its keys (with their
// values) are. Piece p is a run of rows of tensor p; the sequence of queries is pieces 0, 1, that of
// keys is pieces 2, 0, 1. A row of a device table i32 (S, 12). A segment without queries or without
// keys does nothing. No query row is in two segments; two segments share all their key pieces or no
// key row.
typedef struct attention_segment {
    int32_t q_first[2], q_count[2], k_first[3], k_count[3];
    int32_t sample; // the global one, which draws are keyed by
    int32_t causal; // not 0: query r sees keys j <= r + (keys - queries): a prefix, then causal
} attention_segment;
enum { SEGMENT_COLUMNS = sizeof(attention_segment) / sizeof(int32_t) };

// What the host knows of a table: nothing; or that no two segments share keys, and that none is causal or all are. A
// device may have a faster way then. The CPU dies where it is not so.
typedef enum segments_known { SEGMENTS_ANY, SEGMENTS_FULL, SEGMENTS_CAUSAL } segments_known;

// Sizes of an attention. Dense: queries (B, TQ, H, D), keys and values (B, TK, H, D), piece 0 alone.
// In segments: B of them, TQ and TK the most queries and keys of any; piece p of the queries is
// (q_rows[p], H, D).
typedef struct attention_shape {
    int64_t B, TQ, TK, H, D;
    double scale;   // scores are q.k * scale
    double dropout; // of the probabilities; 0: none
    rng_key key;    // sample: the segment's, or first_sample + b; element: attention_element
    uint32_t first_sample;
    const attention_segment *segments; // (B) on the device; NULL: dense
    segments_known known;              // of them
    int64_t q_rows[2], k_rows[3];      // of each piece's tensor, where segments are given
} attention_shape;

// The draw of the probability of a sequence's query I and key J in head H, of which there are fewer
// than this.
enum { ATTENTION_MOST_DRAWN = 1 << 16 };
static inline uint64_t attention_element(int64_t h, int64_t i, int64_t j) {
    return ((uint64_t)h * ATTENTION_MOST_DRAWN + (uint64_t)i) * ATTENTION_MOST_DRAWN + (uint64_t)j;
}

// What an attention reads and writes, by pieces; NULL where there is none. Rows that no segment names
// are not read: they are zeros in out, dq, dk and dv, or stay what they were where those are added to.
typedef struct attention_tensors {
    void *out[2]; // like q
    void *lse[2]; // wide, (B, H, TQ) or (H, q_rows): log of the softmax's denominator; 0: no keys
    const void *q[2], *k[3], *v[3]; // (rows, H, D)
} attention_tensors;
typedef struct attention_gradients {
    void *dq[2], *dk[3], *dv[3];
    const void *dout[2];
    int acc_q[2], acc_k[3], acc_v[3];
} attention_gradients;

// Which elements a dropout treats as one: element e of the (SAMPLES, PER_SAMPLE) tensor belongs to
// group e / GROUP of its sample. GROUP 1: ordinary dropout; GROUP = PER_SAMPLE: stochastic depth.
// Packed rows have GROUP 1 and a map ROWS instead: element e of row r is element position * PER_SAMPLE + e
// of a sample, whose number is global; a row of no sample (below 0) is copied.
typedef struct dropout_shape {
    int64_t samples, per_sample, group;
    double rate;
    rng_key key;
    uint32_t first_sample; // unused beside ROWS
    const int32_t *rows;   // (SAMPLES, 2) = {sample, position}, on the device; or NULL
} dropout_shape;

// A word of a draw drops where its upper 24 bits are below this: rng_uniform of it is then below RATE.
static inline uint32_t draw_limit(double rate) {
    const double limit = rate * 0x1p24;
    const uint32_t whole = (uint32_t)limit;
    return whole + (limit > (double)whole); // rounded up
}

// Sizes of a similarity: images (N, Q, E), texts (M, E).
typedef struct similarity_shape {
    int64_t N, Q, M, E;
    int by_text; // the result is (M, N)
} similarity_shape;

// Sizes of a draw of negatives: scores (R, C), whose row r is sample FIRST + r of C.
typedef struct negatives_shape {
    int64_t R, C, first;
    rng_key key; // sample: first_sample + r; element: 0
    uint32_t first_sample;
} negatives_shape;

// Texts that the device chooses, for append_texts: text INDEX[i] (TEXTS of them, packed in ids) goes behind the one
// before it, from row TAIL of a packed batch on. SEGMENTS[i] then has it as piece 1 of queries and keys, KEYS_ONLY[i]
// as piece 1 of keys.
typedef struct appended_texts {
    const int32_t *index, *text_ids, *text_first; // (count), (text_first[texts]), (texts + 1)
    int32_t *ids, *positions, *rows;              // (N), (N), (N, 2)
    attention_segment *segments, *keys_only;      // (count), beginning with the first of them
    int64_t count, texts, tail, N;
    int64_t sample, position; // of the first token of text 0, for the row map
} appended_texts;

// The parts of a LoRA (Hu et al. 2021) beside a linear layer of (N, K) to (N, O): part i adds to
// columns FIRST to FIRST + n of its output. mid (N, R), R the sum of r, holds what parts' first
// factors make of the input.
enum { LORA_PARTS = 4, LORA_WIDEST = 256 };
typedef struct lora_factors {
    const void *a, *b; // (r, K), (n, r)
    void *da, *db;     // wide; NULL: not wanted
    int acc_a, acc_b;
    int64_t r, n, first;
    int64_t at; // its first column of mid: the sum of r before it
    double scale;
    rng_key key; // of its own dropout
} lora_factors;
typedef struct lora_shape {
    lora_factors part[LORA_PARTS];
    int parts;
    int64_t N, K, O, R;
    double rate;         // of the input, as dropout_shape's
    const int32_t *rows; // (N, 2), or NULL: nothing is dropped
} lora_shape;

// Heads of a fused projection: rows (N, (HQ + 2 HK) D) of queries, keys and values, each key and value head
// written COPIES times (1, or HQ / HK).
typedef struct heads_shape {
    int64_t N, HQ, HK, D, P, copies;
    const void *table;        // wide (P, D/2, 2): cosine and sine
    const int32_t *positions; // (N): rows of the table
} heads_shape;

// Attention on a cache of keys and values (SLOTS, HK, P, D): each slot holds a sequence, whose
// key of position p is row p of each of its heads. Row n of the queries, and of the keys to be
// written, is the token at position[n] of sequence slot[n]; a slot below 0: of none, nothing is
// written and zeros come out. Query head h reads key head h / (HQ / HK). Positions below PREFIX are
// read from slot PREFIX_SLOT, whoever asks.
typedef struct cached_shape {
    int64_t N, HQ, HK, D, P, slots;
    int64_t most;   // keys of any row at most
    int64_t prefix, prefix_slot;
    double scale;   // scores are q.k * scale
    const int32_t *slot, *position; // (N), on the device
} cached_shape;
enum { CACHED_WIDEST = 256 }; // head

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
    /* batch_norm over rows = B*H*W of (rows, C); sums (2 C + 1) in f64, the last the number of     \
       rows, so that ranks with different ones add up: see batch_norm.c */                         \
    X(batch_norm_sums, (double *sums, const void *inp, int64_t rows, int64_t C, dtype type,        \
                        stream *s))                                                                \
    X(batch_norm_statistics, (void *mean, void *rstd, void *running_mean, void *running_var,       \
                              const double *sums, double eps, double momentum, int64_t C,          \
                              dtype type, stream *s))                                              \
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
                                  const void *weight, const double *sums, int64_t rows, int64_t C, \
                                  int relu, int acc_inp, int acc_residual, dtype type,             \
                                  stream *s))                                                      \
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
    /* tokens: for each b, part (B, n) <-> whole (B, total) at offset; all in elements */          \
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
    /* attention: see attention_tensors */                                                         \
    X(attention_forward, (const attention_tensors *x, const attention_shape *z, dtype type,        \
                          void *scratch, stream *s))                                               \
    X(attention_backward, (const attention_gradients *g, const attention_tensors *x,               \
                           const attention_shape *z, dtype type, void *scratch, stream *s))        \
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
                                       int acc, dtype type, stream *s))                            \
    /* cross_entropy: loss wide (1), += where ACC, over logits (R, C) of any type, target i32 (R),  \
       -1: the row is left out; row_weight wide (R) or NULL: ones; peak wide (R, 2) = a row's      \
       largest logit m and its sum of exp(x - m); dloss NULL: 1; dlogits may be logits */          \
    X(cross_entropy_forward, (void *loss, void *peak, const void *logits, const int32_t *target,   \
                              const void *row_weight, int64_t R, int64_t C, double smoothing,      \
                              double count, int acc, dtype type, stream *s))                       \
    X(cross_entropy_backward, (void *dlogits, const void *dloss, const void *logits,               \
                               const void *peak, const int32_t *target, const void *row_weight,    \
                               int64_t R, int64_t C, double smoothing, double count, int acc,      \
                               dtype type, stream *s))                                             \
    /* linear_cross_entropy of a frozen head: dinp (rows, D) = kept factor dloss row_weight[row];  \
       row_weight wide (rows) or NULL: ones */                                                     \
    X(linear_cross_entropy_backward, (void *dinp, const void *dloss, const void *kept,             \
                                      const void *row_weight, double factor, int64_t rows,         \
                                      int64_t D, int acc, dtype type, stream *s))                  \
    /* max_similarity: out wide (N, M), or (M, N) where by_text; winner (N, M): which q */         \
    X(max_similarity_forward, (void *out, int32_t *winner, const void *images, const void *texts,  \
                               const similarity_shape *z, dtype type, stream *s))                  \
    X(max_similarity_backward, (void *dimages, void *dtexts, const void *dout, const void *images, \
                                const void *texts, const int32_t *winner,                          \
                                const similarity_shape *z, int acc_images, int acc_texts,          \
                                dtype type, stream *s))                                            \
    /* l2_normalise: out, inp (rows, D); norm wide (rows): the rows' lengths */                    \
    X(l2_normalise_forward, (void *out, void *norm, const void *inp, int64_t rows, int64_t D,      \
                             dtype type, stream *s))                                               \
    X(l2_normalise_backward, (void *dinp, const void *dout, const void *inp, const void *norm,     \
                              int64_t rows, int64_t D, int acc, dtype type, stream *s))            \
    /* divide_by: out (n) = inp (n) / divisor (1), all wide */                                     \
    X(divide_by_forward, (void *out, const void *inp, const void *divisor, int64_t n, dtype type,  \
                          stream *s))                                                              \
    X(divide_by_backward, (void *dinp, void *ddivisor, const void *dout, const void *out,          \
                           const void *divisor, int64_t n, int acc_inp, int acc_divisor,           \
                           dtype type, stream *s))                                                 \
    /* draw_negatives: out (R), scores wide (R, C), group (C) or NULL */                           \
    X(draw_negatives, (int32_t *out, const void *scores, const int32_t *group,                     \
                       const negatives_shape *z, dtype type, stream *s))                           \
    /* append_texts: see appended_texts; rows behind the last text become filler */                \
    X(append_texts, (const appended_texts *a, stream *s))                                          \
    /* point_segments: segment i has piece 0 of its keys at the TOKENS rows of number index[i] */  \
    X(point_segments, (attention_segment *segments, const int32_t *index, int64_t count,           \
                       int64_t tokens, stream *s))                                                 \
    /* residual_norm: (samples, per_sample) of z, which without z->rows drops nothing; sum (NULL:   \
       not kept) = x + dropout(y), which layer_norm takes; mean, rstd (rows), weight, bias wide */ \
    X(residual_norm_forward, (void *out, void *sum, void *mean, void *rstd, const void *x,         \
                              const void *y, const void *weight, const void *bias,                 \
                              const dropout_shape *z, double eps, dtype type, stream *s))          \
    X(residual_norm_backward, (void *dx, void *dy, void *dweight, void *dbias, const void *dout,   \
                               const void *sum, const void *mean, const void *rstd,                \
                               const void *weight, const dropout_shape *z, int acc_x, int acc_y,   \
                               int acc_weight, int acc_bias, dtype type, void *scratch,            \
                               stream *s))                                                         \
    /* lora: mid wide (N, R) = inp m A^T; out (N, O) += scale mid B^T. Backward: dmid and all db,  \
       then all da and dinp, which is added to; NULL: not wanted */                                \
    X(lora_down, (void *mid, const void *inp, const lora_shape *z, dtype type, void *scratch,      \
                  stream *s))                                                                      \
    X(lora_up, (void *out, const void *mid, const lora_shape *z, dtype type, void *scratch,        \
                stream *s))                                                                        \
    X(lora_up_backward, (void *dmid, const void *dout, const void *mid, const lora_shape *z,       \
                         dtype type, void *scratch, stream *s))                                    \
    X(lora_down_backward, (void *dinp, const void *dmid, const void *inp, const lora_shape *z,     \
                           dtype type, void *scratch, stream *s))                                  \
    /* swiglu: out (rows, F) = silu(first half) * second half of inp (rows, 2 F) */                \
    X(swiglu_forward, (void *out, const void *inp, int64_t rows, int64_t F, dtype type,            \
                       stream *s))                                                                 \
    X(swiglu_backward, (void *dinp, const void *dout, const void *inp, int64_t rows, int64_t F,    \
                        int acc, dtype type, stream *s))                                           \
    /* replace_rows: out, x (N, D), y (M, D), index (M), -1: not put, N or more: a failure of     \
       the step; where (N): m or -1 */                                                             \
    X(replace_rows_forward, (void *out, int32_t *where, const void *x, const void *y,              \
                             const int32_t *index, int64_t N, int64_t M, int64_t D, dtype type,    \
                             stream *s))                                                           \
    X(replace_rows_backward, (void *dx, void *dy, const void *dout, const int32_t *where,          \
                              const int32_t *index, int64_t N, int64_t M, int64_t D, int acc_x,    \
                              int acc_y, dtype type, stream *s))                                   \
    /* rms_norm: (rows, D); sum = x + y, both NULL: it is x itself; dsum may be NULL; rstd (rows),  \
       weight (D) wide; scratch for dweight alone */                                               \
    X(rms_norm_forward, (void *out, void *sum, void *rstd, const void *x, const void *y,           \
                         const void *weight, int64_t rows, int64_t D, double eps, dtype type,      \
                         stream *s))                                                               \
    X(rms_norm_backward, (void *dx, void *dy, void *dweight, const void *dout, const void *dsum,   \
                          const void *sum, const void *rstd, const void *weight, int64_t rows,     \
                          int64_t D, int acc_x, int acc_y, int acc_weight, dtype type,             \
                          void *scratch, stream *s))                                               \
    /* rotate_heads: q (N, HQ, D), k and v (N, HK copies, D), qkv: see heads_shape */              \
    X(rotate_heads_forward, (void *q, void *k, void *v, const void *qkv, const heads_shape *z,     \
                             dtype type, stream *s))                                               \
    X(rotate_heads_backward, (void *dqkv, const void *dq, const void *dk, const void *dv,          \
                              const heads_shape *z, int acc, dtype type, stream *s))               \
    /* linear with a quantised weight (N, K), which is made plain tile by tile; dinp */            \
    X(linear_quantised_forward, (void *out, const void *inp, const quantised *q, const void *bias, \
                                 int64_t M, int64_t N, int64_t K, dtype type, void *scratch,       \
                                 stream *s))                                                       \
    X(linear_quantised_backward_input, (void *dinp, const void *dout, const quantised *q,          \
                                        int64_t M, int64_t N, int64_t K, int acc, dtype type,      \
                                        void *scratch, stream *s))                                 \
    /* attention_cached: k, v (N, HK, D) into the caches; out, q (N, HQ, D): see cached_shape */   \
    X(cache_write, (void *k_cache, void *v_cache, const void *k, const void *v,                    \
                    const cached_shape *z, dtype type, stream *s))                                 \
    X(attention_cached_forward, (void *out, const void *q, const void *k_cache,                    \
                                 const void *v_cache, const cached_shape *z, dtype type,           \
                                 void *scratch, stream *s))

// Bytes of scratch that the calls above want (the most over forward and backward). Also asked in dry
// runs, on the real device.
#define OP_QUERIES(X)                                                                              \
    X(conv2d_scratch, (const window_shape *z, dtype type, stream *s))                              \
    X(linear_scratch, (int64_t M, int64_t N, int64_t K, dtype type, stream *s))                    \
    X(layer_norm_scratch, (int64_t rows, int64_t D, dtype type, stream *s))                        \
    X(attention_scratch, (const attention_shape *z, dtype type, stream *s))                        \
    X(residual_norm_scratch, (int64_t rows, int64_t D, dtype type, stream *s))                     \
    X(lora_scratch, (const lora_shape *z, dtype type, stream *s))                                  \
    X(rms_norm_scratch, (int64_t rows, int64_t D, dtype type, stream *s))                          \
    X(linear_quantised_scratch, (const quantised *q, int64_t M, int64_t N, int64_t K, dtype type,  \
                                 stream *s))                                                       \
    X(attention_cached_scratch, (const cached_shape *z, dtype type, stream *s))

// Several of the calls above in one, where a device has that for these sizes.
typedef enum fused_conv {
    FUSED_CONV_SUMS,
    FUSED_NORM_CONV_SUMS,
    FUSED_NORM_BACKWARD_WEIGHT,
    FUSED_NORM_BACKWARD_INPUT,
    FUSED_CONV_NORM_RELU,
    FUSED_CONVS
} fused_conv;

#define OP_FUSED(X)                                                                                \
    /* conv2d_forward, batch_norm_sums of its output */                                            \
    X(conv2d_sums, (void *out, double *sums, const void *inp, const void *weight,                  \
                    const window_shape *z, dtype type, void *scratch, stream *s))                  \
    /* batch_norm_apply with ReLU, then the same: n is of the input */                             \
    X(norm_conv2d_sums, (void *out, double *sums, const void *inp, const channel_norm *n,          \
                         const void *weight, const window_shape *z, dtype type, void *scratch,     \
                         stream *s))                                                               \
    /* batch_norm_apply with ReLU, conv2d_backward_weight */                                       \
    X(norm_conv2d_backward_weight, (void *dweight, const void *dout, const void *inp,              \
                                    const channel_norm *n, const window_shape *z, int acc,         \
                                    dtype type, void *scratch, stream *s))                         \
    /* conv2d_backward_input; dz is that where the ReLU lets it through; batch_norm_backward_sums */ \
    X(norm_conv2d_backward_input, (void *dz, double *sums, const void *dout, const void *weight,   \
                                   const void *inp, const channel_norm *n, const window_shape *z,  \
                                   dtype type, void *scratch, stream *s))                          \
    /* conv2d_forward, batch_norm_apply with ReLU: n is of the output */                           \
    X(conv2d_norm_relu, (void *out, const void *inp, const void *weight, const channel_norm *n,    \
                         const window_shape *z, dtype type, void *scratch, stream *s))

// The scratch that such a call wants. 0: the device does not have it for these sizes.
#define OP_FUSED_QUERIES(X)                                                                        \
    X(conv2d_fused_scratch, (fused_conv what, const window_shape *z, dtype type, stream *s))

struct op_kernels {
#define X(name, args) void(*name) args;
    OP_KERNELS(X)
    OP_FUSED(X) // NULL on a device that fuses nothing, the query too
#undef X
#define X(name, args) size_t(*name) args;
    OP_QUERIES(X)
    OP_FUSED_QUERIES(X)
#undef X
};

#define X(name, args) void name##_cpu args;
OP_KERNELS(X)
#undef X
#define X(name, args) size_t name##_cpu args;
OP_QUERIES(X)
#undef X

extern const struct op_kernels op_kernels_cpu;
extern const struct op_kernels op_kernels_cuda; // in builds with CUDA

// The names of all kernels, and of those that are several in one, ended by NULL: the tests' checklist.
extern const char *const op_kernel_names[], *const op_fused_names[];
