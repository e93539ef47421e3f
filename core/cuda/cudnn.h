// cuDNN behind a plain header: convolutions of the CUDA device, as graphs of its backend interface. No other
// file than core/cuda/cudnn*.c includes cuDNN's headers. The library is opened with the device, not with the
// program. Attention: core/cuda/cudnn_attention.h.
//
// A plan is built once per graph and set of sizes, when its scratch is asked for (dry runs do), and kept;
// engines that are not deterministic are left out. Failures are kept in the stream (stream_fail).
#pragma once
#include "core/device.h"

typedef struct cudnn cudnn;

status cudnn_open(cudnn **out, stream *s);
void cudnn_close(cudnn *c); // accepts NULL

// Images (B,H,W,C) and (B,OH,OW,O), weight (O,K,K,C), all contiguous in this order.
typedef struct cudnn_conv {
    int64_t B, H, W, C, O, OH, OW, K, stride, pad;
    int64_t type; // a dtype: f32, bf16, f16
} cudnn_conv;

// Bytes of scratch that the three calls below want: the most of them.
size_t cudnn_conv_scratch(const cudnn_conv *z, stream *s);
void cudnn_conv_forward(void *out, const void *inp, const void *weight, const cudnn_conv *z,
                        void *scratch, stream *s);
// Both write; convolutions do not add to what is there.
void cudnn_conv_backward_input(void *dinp, const void *dout, const void *weight,
                               const cudnn_conv *z, void *scratch, stream *s);
// dweight in f32 whatever the type is.
void cudnn_conv_backward_weight(float *dweight, const void *dout, const void *inp,
                                const cudnn_conv *z, void *scratch, stream *s);
