#include "core/device.h"
#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

#include <string.h>

enum { WIDTH = 16 }; // columns to a thread are a multiple of this: a cache line

void embedding_forward_cpu(void *out, const void *table, const int32_t *index, int64_t rows,
                           int64_t V, int64_t D, dtype type, stream *s) {
    cpu_expect_f32("embedding", type);
    for (int64_t r = 0; r < rows; r++) {
        if (index[r] >= 0 && index[r] < V) continue;
        stream_fail(s, status_fail(STATUS_FORMAT,
                                   "embedding: number %d at row %lld is outside of the table's "
                                   "%lld rows (another vocabulary?)",
                                   index[r], (long long)r, (long long)V));
        break;
    }
    float *y = out;
    const float *w = table;
    size_t bytes = (size_t)D * sizeof *y;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        if (index[r] >= 0 && index[r] < V)
            memcpy(y + r * D, w + index[r] * D, bytes);
        else
            memset(y + r * D, 0, bytes);
    }
}

// A thread owns columns, so each element of the table adds its rows in order.
void embedding_backward_cpu(void *dtable, const void *dout, const int32_t *index, int64_t rows,
                            int64_t V, int64_t D, int acc, dtype type, dtype table_type,
                            stream *s) {
    cpu_expect_f32("embedding", type);
    cpu_expect_f32("embedding", table_type);
    float *dw = dtable;
    const float *dy = dout;
    int64_t groups = (D + WIDTH - 1) / WIDTH, parts = stream_threads(s);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < parts; part++) {
        int64_t first = groups * part / parts * WIDTH, end = groups * (part + 1) / parts * WIDTH;
        if (end > D) end = D;
        if (first >= end) continue;
        size_t bytes = (size_t)(end - first) * sizeof *dw;
        for (int64_t v = 0; v < V && !acc; v++) memset(dw + v * D + first, 0, bytes);
        for (int64_t r = 0; r < rows; r++) {
            if (index[r] < 0 || index[r] >= V) continue; // the forward pass has reported it
            for (int64_t d = first; d < end; d++) dw[index[r] * D + d] += dy[r * D + d];
        }
    }
}
