#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

enum { WIDTH = 256 }; // elements of the table that one thread takes at a time

void add_table_forward_cpu(void *out, const void *inp, const void *table, int64_t B, int64_t n,
                           dtype type, stream *s) {
    cpu_expect("add_table", type);
    (void)s;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < n; first += WIDTH) {
            float buffer[3][WIDTH];
            int64_t at = b * n + first, count = first + WIDTH < n ? WIDTH : n - first;
            const float *x = row_read(buffer[0], inp, at, count, type);
            const float *w = row_read(buffer[1], table, first, count, type);
            float *y = row_begin(buffer[2], out, at, count, 0, type);
            for (int64_t i = 0; i < count; i++) y[i] = x[i] + w[i];
            row_end(out, at, y, count, type);
        }
}

// Each element adds its samples in order, whichever thread does it.
void add_table_backward_cpu(void *dtable, const void *dout, int64_t B, int64_t n, int acc,
                            dtype type, dtype table_type, stream *s) {
    cpu_expect("add_table", type);
    cpu_expect("add_table", table_type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += WIDTH) {
        int64_t count = first + WIDTH < n ? WIDTH : n - first;
        double sum[WIDTH] = {0};
        float buffer[WIDTH];
        for (int64_t b = 0; b < B; b++) {
            const float *dy = row_read(buffer, dout, b * n + first, count, type);
            for (int64_t i = 0; i < count; i++) sum[i] += (double)dy[i];
        }
        float *dw = row_begin(buffer, dtable, first, count, acc, table_type);
        for (int64_t i = 0; i < count; i++) dw[i] = (float)(sum[i] + (acc ? (double)dw[i] : 0));
        row_end(dtable, first, dw, count, table_type);
    }
}
