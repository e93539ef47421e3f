#include "models/ops/kernels.h"
#include "models/ops/norm_cpu.h"

static void expect_arguments(int64_t D, dtype type) {
    cpu_expect("layer_norm", type);
    if (D > NORM_WIDTH && type != DTYPE_F32)
        die("layer_norm: rows of %lld, expected at most %d", (long long)D, NORM_WIDTH);
}

void layer_norm_forward_cpu(void *out, void *mean, void *rstd, const void *inp, const void *weight,
                            const void *bias, int64_t rows, int64_t D, double eps, dtype type,
                            stream *s) {
    expect_arguments(D, type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
        float buffer[2][NORM_WIDTH];
        const float *x = row_read(buffer[0], inp, r * D, D, type);
        float *y = row_begin(buffer[1], out, r * D, D, 0, type);
        norm_row_cpu(y, (float *)mean + r, (float *)rstd + r, x, weight, bias, D, eps);
        row_end(out, r * D, y, D, type);
    }
}

size_t layer_norm_scratch_cpu(int64_t rows, int64_t D, dtype type, stream *s) {
    (void)rows, (void)type, (void)s;
    return SUM_BLOCKS * 2 * (size_t)D * sizeof(float);
}

void layer_norm_backward_cpu(void *dinp, void *dweight, void *dbias, const void *dout,
                             const void *inp, const void *mean, const void *rstd,
                             const void *weight, int64_t rows, int64_t D, int acc_inp,
                             int acc_weight, int acc_bias, dtype type, void *scratch, stream *s) {
    expect_arguments(D, type);
    (void)s;
    float *partial = scratch; // (blocks, 2, D): dweight, dbias
    int64_t blocks = rows < SUM_BLOCKS ? rows : SUM_BLOCKS;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float *dw = partial + block * 2 * D, *db = dw + D;
        for (int64_t i = 0; i < 2 * D; i++) dw[i] = 0;
        int64_t end = block_start(rows, block + 1, blocks);
        for (int64_t r = block_start(rows, block, blocks); r < end; r++) {
            float buffer[3][NORM_WIDTH];
            const float *dy = row_read(buffer[0], dout, r * D, D, type);
            const float *x = row_read(buffer[1], inp, r * D, D, type);
            float *dx = dinp ? row_begin(buffer[2], dinp, r * D, D, acc_inp, type) : NULL;
            norm_row_back_cpu(dx, dw, db, dy, x, weight, ((const float *)mean)[r],
                              ((const float *)rstd)[r], D, acc_inp);
            if (dx) row_end(dinp, r * D, dx, D, type);
        }
    }
    norm_sum_blocks_cpu(dweight, dbias, partial, blocks, D, acc_weight, acc_bias);
}
