#include "tests/oracle/oracle.h"

#include <math.h>

// From the probabilities, in long double: an expression of its own, valid for logits of moderate
// size.
//   l = -(p y log(s) + (1 - y) log(1 - s)),  s = 1 / (1 + exp(-x))
void sigmoid_cross_entropy_forward_oracle(void *loss, const void *logits, const uint8_t *target,
                                          const float *positive_weight, const float *mask,
                                          int64_t B, int64_t C, double count, dtype type,
                                          stream *s) {
    (void)type, (void)s;
    long double sum = 0;
    for (int64_t i = 0; i < B * C; i++) {
        long double x = ((const double *)logits)[i], y = target[i];
        if (mask[i % C] == 0) continue;
        sum -= mask[i % C] * (positive_weight[i % C] * y * logl(1 / (1 + expl(-x))) +
                              (1 - y) * logl(1 / (1 + expl(x))));
    }
    *(double *)loss = (double)(sum / count);
}

void sigmoid_cross_entropy_backward_oracle(void *dlogits, const void *dloss, const void *logits,
                                           const uint8_t *target, const float *positive_weight,
                                           const float *mask, int64_t B, int64_t C, double count,
                                           int acc, dtype type, stream *s) {
    (void)type, (void)s;
    for (int64_t i = 0; i < B * C; i++) {
        double x = ((const double *)logits)[i], y = target[i], p = (double)positive_weight[i % C];
        double d = (1 - y) / (1 + exp(-x)) - p * y / (1 + exp(x));
        d = mask[i % C] == 0 ? 0 : d * (double)mask[i % C] / count * *(const double *)dloss;
        ((double *)dlogits)[i] = d + (acc ? ((double *)dlogits)[i] : 0);
    }
}
