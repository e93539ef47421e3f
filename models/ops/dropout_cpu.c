#include "models/ops/dropout_cpu.h"
#include "models/ops/draw_cpu.h"
#include "models/ops/ops_cpu.h"

enum { CHUNK = ROW }; // elements drawn at once; a multiple of 4, so that no block is drawn twice

// Elements FIRST to FIRST + N of one global sample, each with its own draw.
static void drop_elements(float *y, const float *base, const float *x, const dropout_shape *z,
                          uint32_t sample, int64_t first, int64_t n) {
    uint32_t words[CHUNK], limit = draw_limit(z->rate);
    float scale = (float)(1 / (1 - z->rate));
    draw_words_cpu(words, z->key, sample, (uint64_t)first, n);
    // Two loops: vector code would load a row that is not there under a mask, which is slow.
    if (base) {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = base[i] + (words[i] >> 8 >= limit ? x[i] * scale : 0);
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = words[i] >> 8 >= limit ? x[i] * scale : 0;
    }
}

// The same where a whole group has one draw.
static void drop_groups(float *y, const float *x, const dropout_shape *z, int64_t sample,
                        int64_t first, int64_t n, int acc) {
    float scale = (float)(1 / (1 - z->rate));
    for (int64_t i = 0; i < n;) {
        int64_t group = (first + i) / z->group, end = (group + 1) * z->group - first;
        float u = rng_uniform(z->key, z->first_sample + (uint32_t)sample, (uint64_t)group);
        float factor = (double)u < z->rate ? 0 : scale;
        end = end < n ? end : n;
        for (; i < end; i++) {
            float kept = factor > 0 ? x[i] * factor : 0; // 0 even where x is not finite
            y[i] = acc ? y[i] + kept : kept;
        }
    }
}

void dropout_row_cpu(float *y, const float *base, const float *x, const dropout_shape *z, int64_t r,
                     int64_t first, int64_t n) {
    int32_t sample = z->rows[2 * r], position = z->rows[2 * r + 1];
    if (sample >= 0)
        drop_elements(y, base, x, z, (uint32_t)sample, position * z->per_sample + first, n);
    else
        for (int64_t i = 0; i < n; i++) y[i] = base ? base[i] + x[i] : x[i];
}

// Forward and backward are the same linear map.
static void drop(void *out, const void *inp, const dropout_shape *z, int acc, dtype type) {
    int64_t n = z->per_sample;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < z->samples; b++)
        for (int64_t first = 0; first < n; first += CHUNK) {
            float buffer[2][CHUNK];
            int64_t count = row_length(first, n), at = b * n + first;
            const float *x = row_read(buffer[0], inp, at, count, type);
            float *y = row_begin(buffer[1], out, at, count, acc, type);
            if (z->rows)
                dropout_row_cpu(y, acc ? y : NULL, x, z, b, first, count);
            else if (z->group == 1)
                drop_elements(y, acc ? y : NULL, x, z, z->first_sample + (uint32_t)b, first, count);
            else
                drop_groups(y, x, z, b, first, count, acc);
            row_end(out, at, y, count, type);
        }
}

void dropout_forward_cpu(void *out, const void *inp, const dropout_shape *z, dtype type,
                         stream *s) {
    cpu_expect("dropout", type);
    (void)s;
    drop(out, inp, z, 0, type);
}

void dropout_backward_cpu(void *dinp, const void *dout, const dropout_shape *z, int acc, dtype type,
                          stream *s) {
    cpu_expect("dropout", type);
    (void)s;
    drop(dinp, dout, z, acc, type);
}
