#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <math.h>

static const double LEAST_WEIGHT = 1e-4;

// What decides about one sample's columns.
typedef struct draw_row {
    const float *scores;  // (C)
    const int32_t *group; // (C); NULL: no column is left out for its group
    int64_t own, C;
    double largest, sum; // of the softmax
} draw_row;

static bool may_draw(const draw_row *k, int64_t c) {
    return c != k->own && (!k->group || k->group[c] != k->group[k->own]);
}

// Without groups where these leave nothing: all columns are then as likely.
static double weight(const draw_row *k, int64_t c, bool equal) {
    return equal ? 1 : exp((double)k->scores[c] - k->largest) / k->sum + LEAST_WEIGHT;
}

static int32_t draw(draw_row *k, double u) {
    double total = 0, running = 0;
    int64_t last = -1;
    bool some = false;
    k->largest = -INFINITY;
    k->sum = 0;
    for (int64_t c = 0; c < k->C; c++) {
        k->largest = (double)k->scores[c] > k->largest ? (double)k->scores[c] : k->largest;
        some |= may_draw(k, c);
    }
    if (!some) k->group = NULL;
    for (int64_t c = 0; c < k->C; c++) k->sum += exp((double)k->scores[c] - k->largest);
    for (int64_t c = 0; c < k->C; c++)
        if (may_draw(k, c)) total += weight(k, c, !some);
    for (int64_t c = 0; c < k->C; c++) {
        if (!may_draw(k, c)) continue;
        last = c;
        running += weight(k, c, !some);
        if (running > u * total) break;
    }
    return (int32_t)last;
}

void draw_negatives_cpu(int32_t *out, const void *scores, const int32_t *group,
                        const negatives_shape *z, dtype type, stream *s) {
    cpu_expect("draw_negatives", type);
    (void)s;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < z->R; r++) {
        draw_row k = {(const float *)scores + r * z->C, group, z->first + r, z->C, 0, 0};
        out[r] = draw(&k, (double)rng_uniform(z->key, z->first_sample + (uint32_t)r, 0));
    }
}
