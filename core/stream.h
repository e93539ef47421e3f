// What the CPU device's stream is made of. For core/ alone; kernels see the functions of device.h and
// core/onednn.h.
#pragma once
#include "core/device.h"

struct onednn;

struct stream {
    int threads;
    struct onednn *onednn; // engine and primitive cache; NULL on devices without it
    status failed;
    char text[1024];
};
