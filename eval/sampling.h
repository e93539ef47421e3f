// Which token comes next, given logits: the most likely one, or a draw. A draw depends on the seed, the
// sequence's number and the token's place in it alone, never on what else is written at the same time.
#pragma once
#include <stdint.h>

typedef struct sampling {
    double temperature; // 0: the most likely token
    double top_p;       // of the distribution, the fewest tokens that together have at least this
    uint64_t seed;
} sampling;

// A token out of LOGITS (V); of equal ones the lowest. -1: no logit is a number (or
// above minus infinity).
int32_t sampling_choose(const float *logits, int64_t V, const sampling *how, int64_t sequence,
                        int64_t place);
