#include "core/device.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <string.h>

// Row R of X in bytes.
static const char *row_of(const void *x, int64_t r, int64_t D, dtype type) {
    return (const char *)x + (size_t)(r * D) * dtype_size(type);
}

// An image that would be nowhere is no image that the model has seen.
static void expect_inside(const int32_t *index, int64_t N, int64_t M, stream *s) {
    for (int64_t m = 0; m < M; m++) {
        if (index[m] < N) continue;
        stream_fail(s, status_fail(STATUS_FORMAT,
                                   "replace_rows: number %lld goes to row %d, outside of the %lld "
                                   "rows", (long long)m, index[m], (long long)N));
        break;
    }
}

void replace_rows_forward_cpu(void *out, int32_t *where, const void *x, const void *y,
                              const int32_t *index, int64_t N, int64_t M, int64_t D, dtype type,
                              stream *s) {
    cpu_expect("replace_rows", type);
    expect_inside(index, N, M, s);
    const size_t bytes = (size_t)D * dtype_size(type);
    for (int64_t r = 0; r < N; r++) where[r] = -1;
    for (int64_t m = 0; m < M; m++)
        if (index[m] >= 0 && index[m] < N) where[index[m]] = (int32_t)m;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < N; r++)
        memcpy((char *)out + (size_t)r * bytes,
               where[r] < 0 ? row_of(x, r, D, type) : row_of(y, where[r], D, type), bytes);
}

// dinp at ROW (+)= dout at FROM, or zero where that is below 0.
static void give_row(void *dinp, int64_t row, const void *dout, int64_t from, int64_t D, int acc,
                     dtype type) {
    if (from < 0 && acc) return;
    for (int64_t at = 0; at < D; at += ROW) {
        float buffer[2][ROW];
        const int64_t count = row_length(at, D);
        float *d = row_begin(buffer[0], dinp, row * D + at, count, acc, type);
        const float *g =
            from < 0 ? NULL : row_read(buffer[1], dout, from * D + at, count, type);
        for (int64_t i = 0; i < count; i++) {
            const float value = g ? g[i] : 0;
            d[i] = acc ? d[i] + value : value;
        }
        row_end(dinp, row * D + at, d, count, type);
    }
}

void replace_rows_backward_cpu(void *dx, void *dy, const void *dout, const int32_t *where,
                               const int32_t *index, int64_t N, int64_t M, int64_t D, int acc_x,
                               int acc_y, dtype type, stream *s) {
    cpu_expect("replace_rows", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < (dx ? N : 0); r++)
        give_row(dx, r, dout, where[r] < 0 ? r : -1, D, acc_x, type);
#pragma omp parallel for schedule(static)
    for (int64_t m = 0; m < (dy ? M : 0); m++)
        give_row(dy, m, dout, index[m] < N ? index[m] : -1, D, acc_y, type);
}
