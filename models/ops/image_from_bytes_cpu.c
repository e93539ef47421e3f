#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

void image_from_bytes_cpu(void *out, const uint8_t *bytes, const float *lut, int64_t B,
                          int64_t pixels, dtype type, stream *s) {
    cpu_expect("image_from_bytes", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < pixels; first += ROW) {
            float buffer[ROW];
            int64_t at = b * pixels + first, n = row_length(first, pixels);
            float *y = row_begin(buffer, out, at, n, 0, type);
            for (int64_t i = 0; i < n; i++) y[i] = lut[b * 256 + bytes[at + i]];
            row_end(out, at, y, n, type);
        }
}
