#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

void divide_by_forward_cpu(void *out, const void *inp, const void *divisor, int64_t n, dtype type,
                           stream *s) {
    cpu_expect("divide_by", type);
    (void)s;
    const float *x = inp, by = *(const float *)divisor;
    float *y = out;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / by;
}

void divide_by_backward_cpu(void *dinp, void *ddivisor, const void *dout, const void *out,
                            const void *divisor, int64_t n, int acc_inp, int acc_divisor,
                            dtype type, stream *s) {
    cpu_expect("divide_by", type);
    (void)s;
    const float *dy = dout, *y = out, by = *(const float *)divisor;
    float *dx = dinp, *dt = ddivisor;
    double part[SUM_BLOCKS], sum = 0;
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < (dx ? n : 0); i++) dx[i] = (acc_inp ? dx[i] : 0) + dy[i] / by;
    if (!dt) return;
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < SUM_BLOCKS; block++) {
        int64_t end = block_start(n, block + 1, SUM_BLOCKS);
        part[block] = 0;
        for (int64_t i = block_start(n, block, SUM_BLOCKS); i < end; i++)
            part[block] += (double)dy[i] * (double)y[i];
    }
    for (int block = 0; block < SUM_BLOCKS; block++) sum += part[block];
    *dt = (float)((acc_divisor ? (double)*dt : 0) - sum / (double)by);
}
