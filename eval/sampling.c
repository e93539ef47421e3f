#include "eval/sampling.h"
#include "core/rng.h"

#include <math.h>

static int32_t most_likely(const float *logits, int64_t V) {
    int32_t best = -1;
    for (int64_t i = 0; i < V; i++)
        if (logits[i] > (best < 0 ? -INFINITY : logits[best])) best = (int32_t)i;
    return best;
}

// A token's probability, up to a factor.
typedef struct weights {
    const float *logits;
    double largest, temperature;
} weights;

static double weight_of(const weights *w, int64_t i) {
    const double logit = (double)w->logits[i];
    return isnan(logit) ? 0 : exp((logit - w->largest) / w->temperature);
}

// What tokens with a logit of at least LEAST weigh.
static double mass(const weights *w, int64_t V, float least) {
    double sum = 0;
    for (int64_t i = 0; i < V; i++)
        if (w->logits[i] >= least) sum += weight_of(w, i);
    return sum;
}

// The nucleus (Holtzman et al. 2020) is all tokens whose logit is at least some bound: the largest one
// that leaves it heavy enough, found by halving. Tokens of equal logits are in it together.
static float nucleus(const weights *w, int64_t V, double wanted) {
    float low = (float)w->largest, high = (float)w->largest;
    for (int64_t i = 0; i < V; i++)
        if (w->logits[i] < low && !isinf(w->logits[i])) low = w->logits[i];
    if (mass(w, V, high) >= wanted) return high;
    for (int round = 0; round < 64; round++) {
        const float middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) break;
        if (mass(w, V, middle) >= wanted)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int32_t sampling_choose(const float *logits, int64_t V, const sampling *how, int64_t sequence,
                        int64_t place) {
    const int32_t best = most_likely(logits, V);
    if (best < 0 || how->temperature <= 0 || isinf(logits[best])) return best;
    const weights w = {logits, (double)logits[best], how->temperature};
    const rng_key key = {how->seed, rng_site("sampling"), 0};
    const double all = mass(&w, V, -INFINITY);
    const float least = how->top_p < 1 ? nucleus(&w, V, how->top_p * all) : -INFINITY;
    const double kept = how->top_p < 1 ? mass(&w, V, least) : all;
    const double drawn =
        ((double)rng_word(key, (uint32_t)sequence, (uint64_t)place) + 0.5) * 0x1p-32 * kept;
    double sum = 0;
    int32_t last = best;
    for (int64_t i = 0; i < V; i++) {
        if (!(logits[i] >= least)) continue;
        sum += weight_of(&w, i);
        last = (int32_t)i;
        if (drawn < sum) break;
    }
    return last;
}
