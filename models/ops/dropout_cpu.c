#include "models/ops/draw_cpu.h"
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

enum { CHUNK = 1024 }; // elements drawn at once; a multiple of 4, so that no block is drawn twice

// Elements FIRST to FIRST + N of one sample, each with its own draw.
static void drop_elements(float *y, const float *x, const dropout_shape *z, int64_t sample,
                          int64_t first, int64_t n, int acc) {
    uint32_t words[CHUNK], limit = draw_limit(z->rate);
    float scale = (float)(1 / (1 - z->rate));
    draw_words_cpu(words, z->key, z->first_sample + (uint32_t)sample, (uint64_t)first, n);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float kept = words[i] >> 8 >= limit ? x[i] * scale : 0;
        y[i] = acc ? y[i] + kept : kept;
    }
}

// Elements FIRST to FIRST + N of one sample, which is one group and has one draw.
static void drop_group(float *y, const float *x, const dropout_shape *z, int64_t sample,
                       int64_t first, int64_t n, int acc) {
    uint64_t group = (uint64_t)(first / z->group);
    bool keep = !((double)rng_uniform(z->key, z->first_sample + (uint32_t)sample, group) < z->rate);
    float scale = (float)(1 / (1 - z->rate));
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float kept = keep ? x[i] * scale : 0;
        y[i] = acc ? y[i] + kept : kept;
    }
}

// Forward and backward are the same linear map.
static void drop(float *y, const float *x, const dropout_shape *z, int acc) {
    int64_t step = z->group == 1 ? CHUNK : z->group, n = z->per_sample;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->samples; b++)
        for (int64_t first = 0; first < n; first += step) {
            int64_t count = first + step < n ? step : n - first, at = b * n + first;
            (z->group == 1 ? drop_elements : drop_group)(y + at, x + at, z, b, first, count, acc);
        }
}

void dropout_forward_cpu(void *out, const void *inp, const dropout_shape *z, dtype type,
                         stream *s) {
    cpu_expect_f32("dropout", type);
    (void)s;
    drop(out, inp, z, 0);
}

void dropout_backward_cpu(void *dinp, const void *dout, const dropout_shape *z, int acc, dtype type,
                          stream *s) {
    cpu_expect_f32("dropout", type);
    (void)s;
    drop(dinp, dout, z, acc);
}
