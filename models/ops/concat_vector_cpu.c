#include "models/ops/ops.h"
#include "models/ops/ops_cpu.h"

#include <string.h>

enum { WIDTH = 16 }; // elements of the vector that one thread sums at a time

void concat_vector_forward_cpu(void *out, const void *inp, const void *vector, int64_t rows,
                               int64_t C1, int64_t C2, dtype type, stream *s) {
    cpu_expect_f32("concat_vector", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float *y = (float *)out + r * (C1 + C2);
        memcpy(y, (const float *)inp + r * C1, (size_t)C1 * sizeof *y);
        memcpy(y + C1, vector, (size_t)C2 * sizeof *y);
    }
}

// Each element of the vector adds its rows in order, whichever thread does it.
static void sum_rows(float *dvector, const float *dy, int64_t rows, int64_t row, int64_t C2,
                     int acc) {
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < C2; first += WIDTH) {
        int64_t count = first + WIDTH < C2 ? WIDTH : C2 - first;
        double sum[WIDTH] = {0};
        for (int64_t r = 0; r < rows; r++)
            for (int64_t i = 0; i < count; i++) sum[i] += (double)dy[r * row + first + i];
        for (int64_t i = 0; i < count; i++)
            dvector[first + i] = (float)(sum[i] + (acc ? (double)dvector[first + i] : 0));
    }
}

void concat_vector_backward_cpu(void *dinp, void *dvector, const void *dout, int64_t rows,
                                int64_t C1, int64_t C2, int acc_inp, int acc_vector, dtype type,
                                stream *s) {
    cpu_expect_f32("concat_vector", type);
    (void)s;
    const float *dy = dout;
    if (dvector) sum_rows(dvector, dy + C1, rows, C1 + C2, C2, acc_vector);
    if (!dinp) return;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float *dx = (float *)dinp + r * C1;
        const float *d = dy + r * (C1 + C2);
        for (int64_t i = 0; i < C1; i++) dx[i] = acc_inp ? dx[i] + d[i] : d[i];
    }
}
