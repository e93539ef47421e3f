// oneDNN behind a plain header: convolutions and matrix products of the CPU device. No other file
// includes oneDNN's headers; versions 2.x and 3.x are told apart in core/onednn.c alone.
#pragma once
#include "core/status.h"

typedef struct onednn onednn;

status onednn_open(onednn **out);
void onednn_close(onednn *o); // accepts NULL
