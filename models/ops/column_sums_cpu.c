#include "models/ops/column_sums_cpu.h"
#include "models/ops/ops_cpu.h"

#include <string.h>

enum { CHANNELS = 512 }; // summed at once: 4 KB of doubles on the stack

static void add_rows(double *restrict sum, const float *restrict inp, int64_t rows, int64_t stride,
                     int64_t n) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < n; c++) sum[c] += (double)inp[r * stride + c];
}

static void sum_channels_of_all(float *sums, const float *inp, int64_t rows, int64_t C, int64_t n,
                                int acc) {
    double total[CHANNELS] = {0};
#pragma omp parallel for ordered schedule(static, 1)
    for (int64_t block = 0; block < SUM_BLOCKS; block++) {
        int64_t first = block_start(rows, block, SUM_BLOCKS);
        double part[CHANNELS] = {0};
        add_rows(part, inp + first * C, block_start(rows, block + 1, SUM_BLOCKS) - first, C, n);
#pragma omp ordered
        for (int64_t c = 0; c < n; c++) total[c] += part[c];
    }
    for (int64_t c = 0; c < n; c++) sums[c] = (float)(total[c] + (acc ? (double)sums[c] : 0));
}

void column_sums_cpu(float *sums, const float *inp, int64_t rows, int64_t C, int acc) {
    for (int64_t c = 0; c < C; c += CHANNELS)
        sum_channels_of_all(sums + c, inp + c, rows, C, C - c < CHANNELS ? C - c : CHANNELS, acc);
}
