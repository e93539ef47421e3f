#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

enum { CHUNK = 16384 }; // pixels that one thread takes at a time

void image_from_bytes_cpu(void *out, const uint8_t *bytes, const float *lut, int64_t B,
                          int64_t pixels, dtype type, stream *s) {
    cpu_expect_f32("image_from_bytes", type);
    (void)s;
    float *y = out;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < pixels; first += CHUNK) {
            int64_t end = first + CHUNK < pixels ? first + CHUNK : pixels;
            for (int64_t i = first; i < end; i++)
                y[b * pixels + i] = lut[b * 256 + bytes[b * pixels + i]];
        }
}
