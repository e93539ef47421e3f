#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

enum { WIDTH = 256 }; // elements of the table that one thread takes at a time

void add_table_forward_cpu(void *out, const void *inp, const void *table, int64_t B, int64_t n,
                           dtype type, stream *s) {
    cpu_expect_f32("add_table", type);
    (void)s;
    const float *w = table;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; b++)
        for (int64_t first = 0; first < n; first += WIDTH) {
            float *y = (float *)out + b * n;
            const float *x = (const float *)inp + b * n;
            int64_t end = first + WIDTH < n ? first + WIDTH : n;
            for (int64_t i = first; i < end; i++) y[i] = x[i] + w[i];
        }
}

// Each element adds its samples in order, whichever thread does it.
void add_table_backward_cpu(void *dtable, const void *dout, int64_t B, int64_t n, int acc,
                            dtype type, dtype table_type, stream *s) {
    cpu_expect_f32("add_table", type);
    cpu_expect_f32("add_table", table_type);
    (void)s;
    float *dw = dtable;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < n; first += WIDTH) {
        int64_t count = first + WIDTH < n ? WIDTH : n - first;
        double sum[WIDTH] = {0};
        for (int64_t b = 0; b < B; b++) {
            const float *dy = (const float *)dout + b * n + first;
            for (int64_t i = 0; i < count; i++) sum[i] += (double)dy[i];
        }
        for (int64_t i = 0; i < count; i++)
            dw[first + i] = (float)(sum[i] + (acc ? (double)dw[first + i] : 0));
    }
}
