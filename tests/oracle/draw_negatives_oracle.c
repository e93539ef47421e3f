#include "tests/oracle/oracle.h"

#include <math.h>
#include <stdlib.h>

// Fills a row of weights from the definition, then draws from it.
static int32_t draw(double *weight, const double *scores, const int32_t *group, int64_t own,
                    int64_t C, double u) {
    double largest = scores[0], sum = 0, total = 0, running = 0;
    bool some = false;
    int32_t last = -1;
    for (int64_t c = 0; c < C; c++) largest = fmax(largest, scores[c]);
    for (int64_t c = 0; c < C; c++) sum += exp(scores[c] - largest);
    for (int64_t c = 0; c < C; c++) {
        weight[c] = exp(scores[c] - largest) / sum + 1e-4;
        if (c == own || (group && group[c] == group[own])) weight[c] = 0;
        some |= weight[c] != 0;
    }
    for (int64_t c = 0; c < C && !some; c++) weight[c] = c != own;
    for (int64_t c = 0; c < C; c++) total += weight[c];
    for (int64_t c = 0; c < C && !(running > u * total); c++) {
        running += weight[c];
        if (weight[c] != 0) last = (int32_t)c;
    }
    return last;
}

void draw_negatives_oracle(int32_t *out, const void *scores, const int32_t *group,
                           const negatives_shape *z, dtype type, stream *s) {
    (void)type, (void)s;
    double *weight = calloc((size_t)z->C + 1, sizeof *weight);
    for (int64_t r = 0; r < z->R; r++)
        out[r] = draw(weight, (const double *)scores + r * z->C, group, z->first + r, z->C,
                      (double)rng_uniform(z->key, z->first_sample + (uint32_t)r, 0));
    free(weight);
}
