// cuDNN behind a plain header: convolutions of the CUDA device, as graphs of its backend interface.
// No other file than core/cuda/cudnn*.c includes cuDNN's headers. The library is opened with the
// device, not with the program. Attention: core/cuda/cudnn_attention.h.
//
// A plan is built once per graph and set of sizes, when its scratch is asked for (dry runs do), and
// kept; engines that are not deterministic are left out. Failures are kept in the stream
// (stream_fail).
#pragma once
#include "core/device.h"
#include "core/library.h"

typedef struct cudnn cudnn;

status cudnn_open(cudnn **out, stream *s);
void cudnn_close(cudnn *c); // accepts NULL
// Opens the library, without a GPU, to say where it is and which version.
status cudnn_library(library_facts *out);
// For tests on machines without a GPU: plans are built for the device that JSON describes, nothing
// can run.
status cudnn_open_described(cudnn **out, const char *json, bool tf32);

// Images (B,H,W,C) and (B,OH,OW,O), weight (O,K,K,C), all contiguous in this order.
typedef struct cudnn_conv {
    int64_t B, H, W, C, O, OH, OW, K, stride, pad;
    int64_t type; // a dtype: f32, bf16, f16
} cudnn_conv;

// Whether cuDNN has an engine that this program accepts for a pass. A pass without one is no
// failure until it is run.
typedef enum cudnn_conv_pass {
    CUDNN_FORWARD,
    CUDNN_BACKWARD_INPUT,
    CUDNN_BACKWARD_WEIGHT
} cudnn_conv_pass;
bool cudnn_conv_takes(cudnn_conv_pass pass, const cudnn_conv *z, stream *s);
// Bytes of scratch that the three calls below want: the most of them.
size_t cudnn_conv_scratch(const cudnn_conv *z, stream *s);
void cudnn_conv_forward(void *out, const void *inp, const void *weight, const cudnn_conv *z,
                        void *scratch, stream *s);
// Both write; convolutions do not add to what is there.
void cudnn_conv_backward_input(void *dinp, const void *dout, const void *weight,
                               const cudnn_conv *z, void *scratch, stream *s);
// dweight is of the images' type: cuDNN has no engine that writes it wider (9.19).
void cudnn_conv_backward_weight(void *dweight, const void *dout, const void *inp,
                                const cudnn_conv *z, void *scratch, stream *s);
