#include "tests/oracle/oracle.h"

void image_from_bytes_oracle(void *out, const uint8_t *bytes, const float *lut, int64_t B,
                             int64_t pixels, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < B * pixels; i++)
        ((double *)out)[i] = (double)lut[i / pixels * 256 + bytes[i]];
}
