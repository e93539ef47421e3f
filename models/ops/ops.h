// Every op there is. Each returns new tensors of the tape; models call them from top to bottom. The kernels
// that they launch stand in models/ops/kernels.h.
#pragma once
#include "models/ops/kernels.h"
#include "models/tape/tape.h"

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
    tensor *sums; // of inp, where the op that made it knows them already; else NULL
} batch_norm_args;
tensor *batch_norm(tape *t, tensor *inp, batch_norm_args a);

// Convolutions with the norms around them, for devices that do both at once (kernels.h: OP_FUSED); on others their
// parts run. An image between a norm and a convolution is not kept: the backward pass makes it again.
//   conv2d_sums       conv2d, and *SUMS for the batch norm that follows
//   norm_conv2d       conv2d of batch_norm(inp, a), and *SUMS; A has a batch's statistics and a ReLU, no residual
//   conv2d_norm_relu  batch_norm of conv2d, with a ReLU and no residual
tensor *conv2d_sums(tape *t, tensor *inp, tensor *weight, int stride, int pad, tensor **sums);
tensor *norm_conv2d(tape *t, tensor *inp, batch_norm_args a, tensor *weight, int stride, int pad, tensor **sums);
tensor *conv2d_norm_relu(tape *t, tensor *inp, tensor *weight, batch_norm_args a, int stride, int pad);

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
// The same over packed rows: attention_segment (kernels.h) says which rows meet. out[p] is like q[p],
// NULL where that is; rows that no segment names are zeros. Tensors that want a gradient differ from
// each other.
typedef struct attention_rows_args {
    tensor *q[2], *k[3], *v[3];      // (rows, H, D); NULL: no such piece
    tensor *segments;                // i32 (S, 12): attention_segment; read when the kernels run
    segments_known known;            // of them
    int64_t most_queries, most_keys; // of any segment: bounds that the host knows
    double dropout;                  // of the probabilities, in training
} attention_rows_args;
void attention_rows(tape *t, tensor *out[2], const attention_rows_args *a);
// Completes a packed batch with texts that were chosen on the device (draw_negatives). It writes into tensors that are
// there: no gradient. Rows behind the last text become filler: id 0, position 0, sample -1.
typedef struct append_texts_args {
    tensor *index;                   // i32 (b): numbers of texts
    tensor *text_ids, *text_first;   // i32 (total), (texts + 1): all texts, packed
    tensor *ids, *positions, *rows;  // i32 (N), (N), (N, 2)
    tensor *segments, *keys_only;    // i32 (S, SEGMENT_COLUMNS): the text as piece 1 of queries and keys, of keys alone
    int64_t tail;                    // the first row
    int64_t first_segment;           // that of index[0]
    int64_t sample, position;        // the row map says {sample + i, position + place in the text}
} append_texts_args;
void append_texts(tape *t, const append_texts_args *a);
// Segments FIRST + i look at images that were chosen on the device: piece 0 of their keys is rows index[i] * TOKENS on.
void point_segments(tape *t, tensor *segments, int64_t first, tensor *index, int64_t tokens);
// u8 (B,H,W) and f32 (B,256) -> (B,H,W,1).
tensor *image_from_bytes(tape *t, tensor *bytes, tensor *lut);
// logits (B,C), target u8 (B,C), positive_weight f32 (C), mask f32 (C) -> loss, rank 0. Divided by
// COUNT, which a caller sets to the global number of counted elements.
tensor *sigmoid_cross_entropy(tape *t, tensor *logits, tensor *target, tensor *positive_weight,
                              tensor *mask, double count);
// (B, ...) -> (TOTAL, ...): the rows of all ranks in rank order, TOTAL in all, of which each has its comm_share.
// The gradient of a row is the sum of what all ranks' losses give it. A single rank gets INP itself.
tensor *gather_ranks(tape *t, tensor *inp, int64_t total);
// (N, D) packed rows: row r is what rows i32 (N, 2) = {global sample, position} says, and loses what position
// POSITION of that sample would lose in dropout's (samples, positions, D). A row of no sample (below 0) is copied.
// Off (returns INP) unless the tape is training and RATE > 0.
tensor *dropout_rows(tape *t, tensor *inp, tensor *rows, double rate);
// logits (R, C) of the device's or the wide type, target i32 (R) -> loss, rank 0, wide: the sum over
// rows of (1 - SMOOTHING) times -log p[target] + SMOOTHING times the mean of -log p, p = softmax(row),
// divided by COUNT, which a caller sets to the global number of rows that count. Target -1: not so.
tensor *cross_entropy(tape *t, tensor *logits, tensor *target, double smoothing, double count);
// (N, Q, E), (M, E) -> wide (N, M): the largest over q of images[n, q] . texts[m]. BY_TEXT: (M, N).
tensor *max_similarity(tape *t, tensor *images, tensor *texts, bool by_text);
// (..., D): rows of length 1; those shorter than 1e-12 are divided by that.
tensor *l2_normalise(tape *t, tensor *inp);
// (...) / () or (1), all wide: the divisor's gradient is summed over all of inp.
tensor *divide_by(tape *t, tensor *inp, tensor *divisor);
// scores wide (R, C), whose row r is sample FIRST + r of the batch's C, group i32 (C) or NULL -> i32
// (R): for each row another sample, drawn by softmax(row) + 1e-4 among those of other groups, by the
// draw of global sample t->first_sample + r. What is drawn where there is none: see draw_negatives.c.
tensor *draw_negatives(tape *t, tensor *scores, int64_t first, tensor *group);
// (N, D) x (V, D) [+ (V) wide], target i32 (N): cross_entropy of linear, each row's part of the sum times ROW_WEIGHT,
// wide (N) without gradient (NULL: ones), before it is divided by COUNT. Where weight and bias are frozen or nothing
// is recorded, logits exist for as many rows at a time as keep to LINEAR_CROSS_ENTROPY_CHUNK bytes; else once for all.
enum { LINEAR_CROSS_ENTROPY_CHUNK = 64 << 20 };
tensor *linear_cross_entropy(tape *t, tensor *inp, tensor *weight, tensor *bias, tensor *target, tensor *row_weight,
                             double smoothing, double count);
// The same with another number of bytes; at least one row.
tensor *linear_cross_entropy_within(tape *t, tensor *inp, tensor *weight, tensor *bias, tensor *target,
                                    tensor *row_weight, double smoothing, double count, size_t bytes);
// LN(x + dropout_rows(y)) in one pass: x, y (N, D), weight, bias (D), rows as in dropout_rows, NULL where nothing
// is dropped (RATE is 0, or the tape does not train).
tensor *residual_norm(tape *t, tensor *x, tensor *y, tensor *rows, double rate, tensor *weight, tensor *bias,
                      double eps);
// (N, 2 F) -> (N, F): silu of the first half times the second.
tensor *swiglu(tape *t, tensor *inp);
// x (N, D) with row index[m] replaced by y[m] (M, D); index i32 (M), none twice; below 0: y[m] is left out;
// N or more: a failure of the step.
tensor *replace_rows(tape *t, tensor *x, tensor *y, tensor *index);
// (..., K) x (N, K) [+ (N)] -> (..., N), and to it, for each part, scale * (drop(inp) a^T) b^T at
// columns first to first + n, which no two parts share. Each part has its own dropout, that of
// dropout_rows by ROWS (i32 (M, 2)); NULL where nothing is dropped. Without parts it is linear; else
// inp is (M, K).
typedef struct lora_part {
    tensor *a, *b; // (r, K), (n, r)
    int64_t first;
    double scale;
} lora_part;
typedef struct lora_set {
    lora_part part[LORA_PARTS];
    int parts;
    double dropout;
    tensor *rows;
} lora_set;
tensor *linear_lora(tape *t, tensor *inp, tensor *weight, tensor *bias, const lora_set *l);
// s = x + y (y NULL: s is x), out = s / sqrt(mean(s^2) + eps) * weight: x, y (N, D), weight wide (D). *SUM is s, which
// carries gradient as out does (y NULL: x itself); SUM NULL: nobody goes on from it.
tensor *rms_norm(tape *t, tensor **sum, tensor *x, tensor *y, tensor *weight, double eps);
// qkv (N, (HQ + 2 HK) * D) -> q (N, HQ, D) and k, v: rotary positions on q and k (half-split convention). REPEAT: each
// head of k and v HQ / HK times, (N, HQ, D); else (N, HK, D).
typedef struct rotate_args {
    tensor *table;     // wide (P, D/2, 2): cosine and sine per position
    tensor *positions; // i32 (N): rows of the table
    int64_t query_heads, key_heads;
    bool repeat;
} rotate_args;
void rotate_heads(tape *t, tensor *out[3], tensor *qkv, const rotate_args *a);
// Attention on a cache, for inference alone: writes the rows' keys and values k, v (N, HK, D), turned already, into
// the cache, then q (N, HQ, D) -> (N, HQ, D), row n seeing positions 0 to position[n] of its sequence. See cached_shape
// (kernels.h). A row outside of the cache is a failure of the step on the CPU and NaN elsewhere.
typedef struct attention_cache {
    tensor *keys, *values;   // (slots, HK, P, D)
    tensor *slot, *position; // i32 (N)
    int64_t most;            // keys that any row sees at most: a bound that the host knows
    int64_t prefix, prefix_slot;
} attention_cache;
tensor *attention_cached(tape *t, tensor *q, tensor *k, tensor *v, const attention_cache *c);
