// Attention of cuDNN (flash attention: the scores never reach memory) behind a plain header, in
// bf16 and f16. Ask cudnn_attention_takes first; nothing here falls back. Plans are built when that
// or scratch is asked for, which takes about a second each, and kept: use few sizes, and lengths
// for the rest. Failures are kept in the stream.
//
// The backward pass is the deterministic form alone: each dq is summed by one block in a fixed
// order.
#pragma once
#include "core/cuda/cudnn.h"

// q (B,TQ,H,D), k and v (B,TK,H,D), out (B,TQ,H,D) with a free distance between tokens, so that
// they may be slices of one product's output (B,T,3,H,D). All numbers are as wide as the rest:
// compared byte by byte.
typedef struct cudnn_attention {
    int64_t B, H, TQ, TK, D;              // D up to 128, a multiple of 8
    int64_t q_row, k_row, v_row, out_row; // elements from one token to the next, multiples of 8
    int64_t type;                         // a dtype: bf16 or f16
    int64_t causal; // query i sees keys 0 to i + (keys - queries), which is not below 0; whole: TQ = TK
    int64_t padded;                       // samples are as long as LENGTHS says, up to TQ and TK
    int64_t packed; // padded, and samples stand one behind the other in memory: at LENGTHS' starts
    int64_t inference; // no lse is written, there is no backward pass
} cudnn_attention;

// In device memory, read when the work runs: they may change under a recorded step.
typedef struct cudnn_attention_lengths {
    const int32_t *q, *k;                                   // (B) tokens; where padded
    const int64_t *q_start, *k_start, *v_start, *out_start; // (B + 1) elements; where packed
} cudnn_attention_lengths;

// Whether cuDNN has engines for the forward and (unless INFERENCE) the backward pass.
bool cudnn_attention_takes(const cudnn_attention *z, stream *s);
// Bytes: the most of both passes.
size_t cudnn_attention_scratch(const cudnn_attention *z, stream *s);

// out = softmax(SCALE q k') v, lse (B,H,TQ) = natural log of the sums of exp(SCALE q k') (NULL in
// inference). LENGTHS: NULL unless padded or packed. Tokens beyond a sample's length are not
// defined in out and lse, and get no gradient.
void cudnn_attention_forward(void *out, float *lse, const void *q, const void *k, const void *v,
                             float scale, const cudnn_attention_lengths *lengths,
                             const cudnn_attention *z, void *scratch, stream *s);

typedef struct cudnn_attention_gradient {
    void *dq, *dk, *dv; // laid out as q, k, v; written
} cudnn_attention_gradient;

// OUT and LSE as the forward pass wrote them; dout is laid out as out.
void cudnn_attention_backward(const cudnn_attention_gradient *to, const void *dout, const void *out,
                              const float *lse, const void *q, const void *k, const void *v,
                              float scale, const cudnn_attention_lengths *lengths,
                              const cudnn_attention *z, void *scratch, stream *s);
