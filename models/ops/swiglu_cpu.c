#include "models/ops/kernels.h"
#include "models/ops/math_cpu.h"
#include "models/ops/ops_cpu.h"

void swiglu_forward_cpu(void *out, const void *inp, int64_t rows, int64_t F, dtype type,
                        stream *s) {
    cpu_expect("swiglu", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t at = 0; at < F; at += ROW) {
            float buffer[3][ROW];
            const int64_t count = row_length(at, F);
            const float *a = row_read(buffer[0], inp, 2 * r * F + at, count, type);
            const float *b = row_read(buffer[1], inp, 2 * r * F + F + at, count, type);
            float *y = row_begin(buffer[2], out, r * F + at, count, 0, type);
#pragma omp simd
            for (int64_t i = 0; i < count; i++) y[i] = a[i] / (1 + cpu_exp(-a[i])) * b[i];
            row_end(out, r * F + at, y, count, type);
        }
    }
}

void swiglu_backward_cpu(void *dinp, const void *dout, const void *inp, int64_t rows, int64_t F,
                         int acc, dtype type, stream *s) {
    cpu_expect("swiglu", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t at = 0; at < F; at += ROW) {
            float buffer[5][ROW];
            const int64_t count = row_length(at, F), gate = 2 * r * F + at, up = gate + F;
            const float *dy = row_read(buffer[0], dout, r * F + at, count, type);
            const float *a = row_read(buffer[1], inp, gate, count, type);
            const float *b = row_read(buffer[2], inp, up, count, type);
            float *da = row_begin(buffer[3], dinp, gate, count, acc, type);
            float *db = row_begin(buffer[4], dinp, up, count, acc, type);
#pragma omp simd
            for (int64_t i = 0; i < count; i++) {
                const float sigmoid = 1 / (1 + cpu_exp(-a[i]));
                const float to_a = dy[i] * b[i] * sigmoid * (1 + a[i] * (1 - sigmoid));
                const float to_b = dy[i] * a[i] * sigmoid;
                da[i] = acc ? da[i] + to_a : to_a;
                db[i] = acc ? db[i] + to_b : to_b;
            }
            row_end(dinp, gate, da, count, type);
            row_end(dinp, up, db, count, type);
        }
    }
}
