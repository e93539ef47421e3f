#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

enum { CHUNK = 4096 }; // elements that one thread copies at a time

// For each b, N elements from FROM, FROM_ROW apart, to TO, TO_ROW apart.
static void copy_rows(float *to, int64_t to_row, const float *from, int64_t from_row, int64_t B,
                      int64_t n, int acc) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < n; first += CHUNK) {
            int64_t end = first + CHUNK < n ? first + CHUNK : n;
            float *y = to + b * to_row;
            const float *x = from + b * from_row;
            for (int64_t i = first; i < end; i++) y[i] = acc ? y[i] + x[i] : x[i];
        }
}

void take_tokens_cpu(void *part, const void *whole, int64_t B, int64_t n, int64_t total,
                     int64_t offset, int acc, dtype type, stream *s) {
    cpu_expect_f32("take_tokens", type);
    (void)s;
    copy_rows(part, n, (const float *)whole + offset, total, B, n, acc);
}

void put_tokens_cpu(void *whole, const void *part, int64_t B, int64_t n, int64_t total,
                    int64_t offset, int acc, dtype type, stream *s) {
    cpu_expect_f32("put_tokens", type);
    (void)s;
    copy_rows((float *)whole + offset, total, part, n, B, n, acc);
}
