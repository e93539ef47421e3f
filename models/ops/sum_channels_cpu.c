#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

// A few thousand weights: one thread is enough.
void sum_channels_forward_cpu(void *out, const void *inp, int64_t rows, int64_t C, dtype type,
                              stream *s) {
    cpu_expect("sum_channels", type);
    (void)s;
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < C; c++) sum += (double)number_read(inp, r * C + c, type);
        number_write(out, r, (float)sum, type);
    }
}

void sum_channels_backward_cpu(void *dinp, const void *dout, int64_t rows, int64_t C, int acc,
                               dtype type, stream *s) {
    cpu_expect("sum_channels", type);
    (void)s;
    for (int64_t i = 0; i < rows * C; i++)
        number_write(dinp, i,
                     number_read(dout, i / C, type) + (acc ? number_read(dinp, i, type) : 0), type);
}
