#include "models/ops/column_sums_cpu.h"
#include "models/ops/ops_cpu.h"

enum { CHANNELS = 512 }; // summed at once: 4 KB of doubles on the stack

static void sum_channels_of_all(float *sums, const void *inp, int64_t rows, int64_t n,
                                int64_t stride, int acc, dtype type) {
    double total[CHANNELS] = {0};
#pragma omp parallel for ordered schedule(static, 1)
    for (int64_t block = 0; block < SUM_BLOCKS; block++) {
        double part[CHANNELS] = {0};
        float buffer[CHANNELS];
        int64_t end = block_start(rows, block + 1, SUM_BLOCKS);
        for (int64_t r = block_start(rows, block, SUM_BLOCKS); r < end; r++) {
            const float *x = row_read(buffer, inp, r * stride, n, type);
            for (int64_t c = 0; c < n; c++) part[c] += (double)x[c];
        }
#pragma omp ordered
        for (int64_t c = 0; c < n; c++) total[c] += part[c];
    }
    for (int64_t c = 0; c < n; c++) sums[c] = (float)(total[c] + (acc ? (double)sums[c] : 0));
}

void column_sums_cpu(float *sums, const void *inp, int64_t rows, int64_t C, int64_t stride, int acc,
                     dtype type) {
    for (int64_t c = 0; c < C; c += CHANNELS)
        sum_channels_of_all(sums + c, element(inp, c, type), rows,
                            C - c < CHANNELS ? C - c : CHANNELS, stride, acc, type);
}
