#include "tests/oracle/oracle.h"

#include <math.h>

// From the probabilities, in long double and without a largest logit (0 stands for it): an
// expression of its own, valid for logits of moderate size. Targets are -1 or classes here: what is
// neither is the CPU's own test.
static double weight_of(const double *row_weight, int64_t r) {
    return row_weight ? row_weight[r] : 1;
}

void cross_entropy_forward_oracle(void *loss, void *peak, const void *logits, const int32_t *target,
                                  const void *row_weight, int64_t R, int64_t C, double smoothing,
                                  double count, int acc, dtype type, stream *s) {
    (void)type, (void)s;
    long double sum = 0;
    for (int64_t r = 0; r < R; r++) {
        const double *x = (const double *)logits + r * C;
        long double exps = 0, mean = 0;
        if (target[r] < 0) continue;
        for (int64_t c = 0; c < C; c++) exps += expl(x[c]);
        for (int64_t c = 0; c < C; c++) mean -= logl(expl(x[c]) / exps) / C;
        mean = smoothing * mean - (1 - smoothing) * logl(expl(x[target[r]]) / exps);
        sum += mean * weight_of(row_weight, r);
        ((double *)peak)[2 * r] = 0;
        ((double *)peak)[2 * r + 1] = (double)exps;
    }
    *(double *)loss = (double)(sum / count) + (acc ? *(double *)loss : 0);
}

void cross_entropy_backward_oracle(void *dlogits, const void *dloss, const void *logits,
                                   const void *peak, const int32_t *target, const void *row_weight,
                                   int64_t R, int64_t C, double smoothing, double count, int acc,
                                   dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < R * C; i++) {
        int64_t r = i / C, c = i % C;
        const double *p = (const double *)peak + 2 * r;
        double d = 0;
        if (target[r] >= 0) {
            double wanted = (c == target[r] ? 1 - smoothing : 0) + smoothing / (double)C;
            d = (exp(((const double *)logits)[i] - p[0]) / p[1] - wanted) / count;
        }
        d *= weight_of(row_weight, r) * (dloss ? *(const double *)dloss : 1);
        ((double *)dlogits)[i] = d + (acc ? ((double *)dlogits)[i] : 0);
    }
}
