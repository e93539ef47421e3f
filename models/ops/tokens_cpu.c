#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

// For each b, N elements of INP from FROM on, FROM_ROW apart, to OUT from TO on, TO_ROW apart.
static void copy_rows(void *out, int64_t to, int64_t to_row, const void *inp, int64_t from,
                      int64_t from_row, int64_t B, int64_t n, int acc, dtype type) {
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < n; first += ROW) {
            float buffer[2][ROW];
            int64_t count = row_length(first, n), at = to + b * to_row + first;
            const float *x = row_read(buffer[0], inp, from + b * from_row + first, count, type);
            float *y = row_begin(buffer[1], out, at, count, acc, type);
            for (int64_t i = 0; i < count; i++) y[i] = acc ? y[i] + x[i] : x[i];
            row_end(out, at, y, count, type);
        }
}

void take_tokens_cpu(void *part, const void *whole, int64_t B, int64_t n, int64_t total,
                     int64_t offset, int acc, dtype type, stream *s) {
    cpu_expect("take_tokens", type);
    (void)s;
    copy_rows(part, 0, n, whole, offset, total, B, n, acc, type);
}

void put_tokens_cpu(void *whole, const void *part, int64_t B, int64_t n, int64_t total,
                    int64_t offset, int acc, dtype type, stream *s) {
    cpu_expect("put_tokens", type);
    (void)s;
    copy_rows(whole, offset, total, part, 0, n, B, n, acc, type);
}
