// cuDNN's wrapper in plain loops in double: what core/cuda/cudnn.h promises, for the host shim.
#include "core/cuda/cudnn.h"

#include <string.h>

// Some, and filled, so that a caller who gives too little is found by the guards behind.
enum { SCRATCH = 48 };

size_t cudnn_conv_scratch(const cudnn_conv *z, stream *s) {
    (void)z, (void)s;
    return SCRATCH;
}

// The image's element that tap (ky, kx) of output pixel (oy, ox) sees at channel 0; -1: the padding.
static int64_t seen(const cudnn_conv *z, int64_t b, int64_t oy, int64_t ox, int64_t tap) {
    int64_t y = oy * z->stride + tap / z->K - z->pad, x = ox * z->stride + tap % z->K - z->pad;
    if (y < 0 || y >= z->H || x < 0 || x >= z->W) return -1;
    return ((b * z->H + y) * z->W + x) * z->C;
}

void cudnn_conv_forward(void *out, const void *inp, const void *weight, const cudnn_conv *z,
                        void *scratch, stream *s) {
    (void)s;
    memset(scratch, 0x5a, SCRATCH);
    for (int64_t p = 0; p < z->B * z->OH * z->OW; p++)
        for (int64_t o = 0; o < z->O; o++) {
            double sum = 0;
            for (int64_t tap = 0; tap < z->K * z->K; tap++) {
                int64_t at = seen(z, p / z->OW / z->OH, p / z->OW % z->OH, p % z->OW, tap);
                for (int64_t c = 0; c < z->C && at >= 0; c++)
                    sum += element_get(inp, at + c, (dtype)z->type) *
                           element_get(weight, (o * z->K * z->K + tap) * z->C + c, (dtype)z->type);
            }
            element_put(out, p * z->O + o, sum, (dtype)z->type);
        }
}

// Gathered per pixel: what it is in any output's window.
void cudnn_conv_backward_input(void *dinp, const void *dout, const void *weight,
                               const cudnn_conv *z, void *scratch, stream *s) {
    (void)s;
    memset(scratch, 0x5a, SCRATCH);
    for (int64_t i = 0; i < z->B * z->H * z->W * z->C; i++) {
        int64_t b = i / z->C / z->W / z->H, y = i / z->C / z->W % z->H, x = i / z->C % z->W, c = i % z->C;
        double sum = 0;
        for (int64_t tap = 0; tap < z->K * z->K; tap++) {
            int64_t ty = y + z->pad - tap / z->K, tx = x + z->pad - tap % z->K;
            if (ty < 0 || tx < 0 || ty % z->stride || tx % z->stride) continue;
            if (ty / z->stride >= z->OH || tx / z->stride >= z->OW) continue;
            int64_t p = (b * z->OH + ty / z->stride) * z->OW + tx / z->stride;
            for (int64_t o = 0; o < z->O; o++)
                sum += element_get(dout, p * z->O + o, (dtype)z->type) *
                       element_get(weight, (o * z->K * z->K + tap) * z->C + c, (dtype)z->type);
        }
        element_put(dinp, i, sum, (dtype)z->type);
    }
}

void cudnn_conv_backward_weight(void *dweight, const void *dout, const void *inp,
                                const cudnn_conv *z, void *scratch, stream *s) {
    (void)s;
    memset(scratch, 0x5a, SCRATCH);
    for (int64_t i = 0; i < z->O * z->K * z->K * z->C; i++) {
        int64_t c = i % z->C, tap = i / z->C % (z->K * z->K), o = i / z->C / (z->K * z->K);
        double sum = 0;
        for (int64_t p = 0; p < z->B * z->OH * z->OW; p++) {
            int64_t at = seen(z, p / z->OW / z->OH, p / z->OW % z->OH, p % z->OW, tap);
            if (at >= 0)
                sum += element_get(dout, p * z->O + o, (dtype)z->type) *
                       element_get(inp, at + c, (dtype)z->type);
        }
        element_put(dweight, i, sum, (dtype)z->type);
    }
}
