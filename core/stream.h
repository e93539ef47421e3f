// What a device's stream is made of. For core/ alone; kernels see the functions of device.h, of
// core/onednn.h and of core/cuda/stream.h.
#pragma once
#include "core/device.h"

struct onednn;
struct cuda_stream;

struct stream {
    int threads;
    struct onednn *onednn;    // engine and primitive cache; NULL on devices without it
    struct cuda_stream *cuda; // core/cuda/stream.h; NULL on devices without it
    char read[DEVICE_READS][DEVICE_READ_BYTES]; // of read_begin, on the CPU
    status failed;
    char text[1024];
};
