#include "core/device.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

enum { WIDTH = 16 }; // columns to a thread are a multiple of this: a cache line

void embedding_forward_cpu(void *out, const void *table, const int32_t *index, int64_t rows,
                           int64_t V, int64_t D, dtype type, stream *s) {
    cpu_expect("embedding", type);
    for (int64_t r = 0; r < rows; r++) {
        if (index[r] >= 0 && index[r] < V) continue;
        stream_fail(s, status_fail(STATUS_FORMAT,
                                   "embedding: number %d at row %lld is outside of the table's "
                                   "%lld rows (another vocabulary?)",
                                   index[r], (long long)r, (long long)V));
        break;
    }
    size_t bytes = (size_t)D * dtype_size(type);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        if (index[r] >= 0 && index[r] < V)
            memcpy(element(out, r * D, type), element(table, index[r] * D, type), bytes);
        else
            memset(element(out, r * D, type), 0, bytes);
    }
}

static void add_row(void *dtable, int64_t to, const void *dout, int64_t from, int64_t first,
                    int64_t end, dtype type, dtype table_type) {
    for (int64_t d = first; d < end; d += ROW) {
        float buffer[2][ROW];
        int64_t n = row_length(d, end);
        const float *dy = row_read(buffer[0], dout, from + d, n, type);
        float *dw = row_begin(buffer[1], dtable, to + d, n, 1, table_type);
        for (int64_t i = 0; i < n; i++) dw[i] += dy[i];
        row_end(dtable, to + d, dw, n, table_type);
    }
}

// A thread owns columns, so each element of the table adds its rows in order.
void embedding_backward_cpu(void *dtable, const void *dout, const int32_t *index, int64_t rows,
                            int64_t V, int64_t D, int acc, dtype type, dtype table_type,
                            stream *s) {
    cpu_expect("embedding", type);
    cpu_expect("embedding", table_type);
    int64_t groups = (D + WIDTH - 1) / WIDTH, parts = stream_threads(s);
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < parts; part++) {
        int64_t first = groups * part / parts * WIDTH, end = groups * (part + 1) / parts * WIDTH;
        if (end > D) end = D;
        if (first >= end) continue;
        size_t bytes = (size_t)(end - first) * dtype_size(table_type);
        for (int64_t v = 0; v < V && !acc; v++)
            memset(element(dtable, v * D + first, table_type), 0, bytes);
        for (int64_t r = 0; r < rows; r++) {
            if (index[r] < 0 || index[r] >= V) continue; // the forward pass has reported it
            add_row(dtable, index[r] * D, dout, r * D, first, end, type, table_type);
        }
    }
}
