// oneDNN behind a plain header: convolutions and matrix products of the CPU device. No other file
// but core/onednn_versions.h, its other half, includes oneDNN's headers.
//
// Images and weights are of the TYPE that the sizes name, f32 or bf16; sums run in f32 in both.
// Biases and weights' gradients are f32. On a CPU whose products of bf16 are slower than those of f32 (all
// that have no AVX512_BF16, and Intel's without AMX), bf16 is multiplied as f32, on copies in SCRATCH.
//
// What oneDNN prepares for one kind of call and one set of sizes is kept and found again, so that a
// step prepares nothing. Memory comes from the caller: SCRATCH has at least the bytes that the
// query of the same sizes tells, aligned to 64. Failures are kept in the stream (stream_fail).
#pragma once
#include "core/device.h"
#include "core/version.h"

typedef struct onednn onednn;

status onednn_open(onednn **out);
void onednn_close(onednn *o); // accepts NULL
// Whether bf16 is multiplied as such on this CPU (and what ONEDNN_MAX_CPU_ISA leaves of it).
bool onednn_bf16_is_fast(void);
// Whether that is so by its dot products of pairs (AVX512_BF16), which serve few rows as well, not by AMX alone.
bool onednn_bf16_dots_are_fast(void);

// Images (B,H,W,C) and (B,OH,OW,O), weight (O,K,K,C), all contiguous in this order.
typedef struct onednn_conv {
    int64_t B, H, W, C, O, OH, OW, K, stride, pad;
    int64_t type; // a dtype, as wide as the rest: such sizes are compared byte by byte
} onednn_conv;

size_t onednn_conv_scratch(const onednn_conv *z, stream *s);
size_t onednn_conv_weight_scratch(const onednn_conv *z, stream *s); // of onednn_conv_backward_weight alone
// bias (O) or NULL.
void onednn_conv_forward(void *out, const void *inp, const void *weight, const float *bias,
                         const onednn_conv *z, void *scratch, stream *s);
// Writes; convolutions cannot add to what is there.
void onednn_conv_backward_input(void *dinp, const void *dout, const void *weight,
                                const onednn_conv *z, void *scratch, stream *s);
void onednn_conv_backward_weight(float *dweight, const void *dout, const void *inp,
                                 const onednn_conv *z, int acc, void *scratch, stream *s);

// out (M, N) = a (M, K) b, + bias (N) unless NULL, + what is in out if acc (not both); b is (N, K)
// where TRANSPOSED, else (K, N). Rows of a and out may be parts of longer ones.
typedef struct onednn_product {
    int64_t M, N, K;
    bool transposed;
    dtype type;
    int64_t a_row, out_row; // from one row to the next; 0: K, N
} onednn_product;

size_t onednn_matmul_scratch(const onednn_product *z, stream *s);
void onednn_matmul(void *out, const void *a, const void *b, const float *bias,
                   const onednn_product *z, int acc, void *scratch, stream *s);
// In f32: out (N, K) = the transpose of a (M, N) times b (M, K), + what is in out if acc.
void onednn_matmul_transposed(float *out, const float *a, const float *b, int64_t M, int64_t N,
                              int64_t K, int acc, stream *s);

library_version onednn_version(void);
