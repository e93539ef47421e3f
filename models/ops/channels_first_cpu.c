#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

enum { TILE = 32 }; // a square of numbers that stays in the first-level cache both ways

static void transpose_tile(void *out, const void *inp, int64_t from, int64_t S, int64_t C,
                           int64_t s0, int64_t c0, int acc, dtype type) {
    int64_t s1 = s0 + TILE < S ? s0 + TILE : S, c1 = c0 + TILE < C ? c0 + TILE : C;
    for (int64_t c = c0; c < c1; c++)
        for (int64_t s = s0; s < s1; s++) {
            int64_t at = from + c * S + s;
            float x = number_read(inp, from + s * C + c, type);
            number_write(out, at, acc ? number_read(out, at, type) + x : x, type);
        }
}

void transpose_cpu(void *out, const void *inp, int64_t B, int64_t S, int64_t C, int acc, dtype type,
                   stream *s) {
    cpu_expect("transpose", type);
    (void)s;
#pragma omp parallel for collapse(3) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t c = 0; c < C; c += TILE)
            for (int64_t i = 0; i < S; i += TILE)
                transpose_tile(out, inp, b * S * C, S, C, i, c, acc, type);
}
