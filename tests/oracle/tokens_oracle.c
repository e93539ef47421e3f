#include "tests/oracle/oracle.h"

void take_tokens_oracle(void *part, const void *whole, int64_t B, int64_t n, int64_t total,
                        int64_t offset, int acc, dtype type, stream *s) {
    (void)type, (void)s;
    double *to = part;
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < n; i++) {
            double value = ((const double *)whole)[b * total + offset + i];
            to[b * n + i] = value + (acc ? to[b * n + i] : 0);
        }
}

void put_tokens_oracle(void *whole, const void *part, int64_t B, int64_t n, int64_t total,
                       int64_t offset, int acc, dtype type, stream *s) {
    (void)type, (void)s;
    double *to = whole;
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < n; i++) {
            double value = ((const double *)part)[b * n + i];
            int64_t at = b * total + offset + i;
            to[at] = value + (acc ? to[at] : 0);
        }
}
