#include "tests/oracle/oracle.h"

static double factor(const dropout_shape *z, int64_t b, int64_t e) {
    uint32_t sample = z->first_sample + (uint32_t)b;
    if (z->rows && z->rows[2 * b] < 0) return 1;
    if (z->rows) {
        sample = (uint32_t)z->rows[2 * b];
        e += z->rows[2 * b + 1] * z->per_sample;
    }
    float u = rng_uniform(z->key, sample, (uint64_t)(e / z->group));
    return (double)u < z->rate ? 0 : 1 / (1 - z->rate);
}

void dropout_forward_oracle(void *out, const void *inp, const dropout_shape *z, dtype type,
                            stream *s) {
    (void)type, (void)s;
    for (int64_t b = 0; b < z->samples; b++)
        for (int64_t e = 0; e < z->per_sample; e++) {
            int64_t i = b * z->per_sample + e;
            ((double *)out)[i] = factor(z, b, e) * ((const double *)inp)[i];
        }
}

void dropout_backward_oracle(void *dinp, const void *dout, const dropout_shape *z, int acc,
                             dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t b = 0; b < z->samples; b++)
        for (int64_t e = 0; e < z->per_sample; e++) {
            int64_t i = b * z->per_sample + e;
            double d = factor(z, b, e) * ((const double *)dout)[i];
            ((double *)dinp)[i] = d + (acc ? ((double *)dinp)[i] : 0);
        }
}
