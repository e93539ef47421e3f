#include "models/ops/kernels.h"
#include "models/ops/ops_cpu.h"

#include <math.h>

// A few hundred numbers a step: plain loops in double, in one order.

static void expect_labels(const uint8_t *target, const float *mask, int64_t B, int64_t C,
                          stream *s) {
    for (int64_t i = 0; i < B * C; i++)
        if (target[i] > 1 && mask[i % C] != 0) {
            stream_fail(s, status_fail(STATUS_FORMAT,
                                       "sigmoid_cross_entropy: the target of row %lld, class %lld "
                                       "is %d, expected 0 or 1",
                                       (long long)(i / C), (long long)(i % C), target[i]));
            return;
        }
}

void sigmoid_cross_entropy_forward_cpu(void *loss, const void *logits, const uint8_t *target,
                                       const float *positive_weight, const float *mask, int64_t B,
                                       int64_t C, double count, dtype type, stream *s) {
    cpu_expect("sigmoid_cross_entropy", type);
    expect_labels(target, mask, B, C, s);
    double sum = 0;
    for (int64_t i = 0; i < B * C; i++) {
        int64_t c = i % C;
        if (mask[c] == 0) continue;
        double x = (double)number_read(logits, i, type), p = (double)positive_weight[c];
        double wrong = target[i] ? -x : x; // l = w softplus(wrong)
        double softplus = log1p(exp(-fabs(x))) + (wrong > 0 ? wrong : 0);
        sum += (double)mask[c] * (target[i] ? p : 1) * softplus;
    }
    *(float *)loss = (float)(sum / count);
}

void sigmoid_cross_entropy_backward_cpu(void *dlogits, const void *dloss, const void *logits,
                                        const uint8_t *target, const float *positive_weight,
                                        const float *mask, int64_t B, int64_t C, double count,
                                        int acc, dtype type, stream *s) {
    cpu_expect("sigmoid_cross_entropy", type);
    (void)s;
    double scale = (double)*(const float *)dloss / count;
    for (int64_t i = 0; i < B * C; i++) {
        int64_t c = i % C;
        double x = (double)number_read(logits, i, type), p = (double)positive_weight[c], d = 0;
        if (mask[c] != 0)
            d = scale * (double)mask[c] * (target[i] ? -p / (1 + exp(x)) : 1 / (1 + exp(-x)));
        number_write(dlogits, i, (float)d + (acc ? number_read(dlogits, i, type) : 0), type);
    }
}
