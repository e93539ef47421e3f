#include "models/ops/column_sums_cpu.h"
#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

void concat_vector_forward_cpu(void *out, const void *inp, const void *vector, int64_t rows,
                               int64_t C1, int64_t C2, dtype type, stream *s) {
    size_t size = dtype_size(type);
    (void)s;
    cpu_expect("concat_vector", type);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * (C1 + C2);
        memcpy(element(out, at, type), element(inp, r * C1, type), (size_t)C1 * size);
        for (int64_t i = 0; i < C2; i++)
            number_write(out, at + C1 + i, ((const float *)vector)[i], type);
    }
}

void concat_vector_backward_cpu(void *dinp, void *dvector, const void *dout, int64_t rows,
                                int64_t C1, int64_t C2, int acc_inp, int acc_vector, dtype type,
                                stream *s) {
    cpu_expect("concat_vector", type);
    (void)s;
    if (dvector)
        column_sums_cpu(dvector, element(dout, C1, type), rows, C2, C1 + C2, acc_vector, type);
    if (!dinp) return;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t first = 0; first < C1; first += ROW) {
            float buffer[2][ROW];
            int64_t n = row_length(first, C1), at = r * C1 + first;
            const float *dy = row_read(buffer[0], dout, r * (C1 + C2) + first, n, type);
            float *dx = row_begin(buffer[1], dinp, at, n, acc_inp, type);
            for (int64_t i = 0; i < n; i++) dx[i] = acc_inp ? dx[i] + dy[i] : dy[i];
            row_end(dinp, at, dx, n, type);
        }
}
