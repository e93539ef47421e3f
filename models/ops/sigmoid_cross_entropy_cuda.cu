#include "models/ops/ops_cuda.cuh"

// A few hundred numbers a step: one block, in double.

enum { THREADS = 256 };

// A target that is neither 0 nor 1 is not the kernel's to report, as no launch waits for the host: it makes the
// loss NaN, and the step is stopped with the weights intact.
template <class T>
__global__ void __launch_bounds__(THREADS)
    loss_kernel(float *loss, const T *logits, const uint8_t *target, const float *positive_weight,
                const float *mask, int64_t B, int64_t C, double count) {
    SHARED(double, parts, THREADS / 32);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < B * C; i += THREADS) {
        const int64_t c = i % C;
        if (mask[c] == 0) continue;
        const double x = (double)widen(logits[i]), p = (double)positive_weight[c];
        const double wrong = target[i] ? -x : x; // l = w softplus(wrong)
        const double softplus = log1p(exp(-fabs(x))) + (wrong > 0 ? wrong : 0);
        sum += target[i] > 1 ? (double)NAN : (double)mask[c] * (target[i] ? p : 1) * softplus;
    }
    sum = block_sum<THREADS>(sum, parts);
    if (threadIdx.x == 0) *loss = (float)(sum / count);
}

template <class T>
static void loss_all(void *loss, const void *logits, const uint8_t *target, const float *positive_weight,
                     const float *mask, int64_t B, int64_t C, double count, stream *s) {
    LAUNCH(s, "sigmoid_cross_entropy_forward", (loss_kernel<T>), dim3(1), dim3(THREADS), (float *)loss,
           (const T *)logits, target, positive_weight, mask, B, C, count);
}

void sigmoid_cross_entropy_forward_cuda(void *loss, const void *logits, const uint8_t *target,
                                        const float *positive_weight, const float *mask, int64_t B, int64_t C,
                                        double count, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("sigmoid_cross_entropy", type, loss_all, loss, logits, target, positive_weight, mask, B, C, count, s);
}

template <class T> struct loss_back_body {
    T *dlogits;
    const float *dloss;
    const T *logits;
    const uint8_t *target;
    const float *positive_weight, *mask;
    int64_t C;
    double count;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t c = i % C;
        const double x = (double)widen(logits[i]), p = (double)positive_weight[c];
        double d = 0;
        if (mask[c] != 0)
            d = (double)*dloss / count * (double)mask[c] *
                (target[i] ? -p / (1 + exp(x)) : 1 / (1 + exp(-x)));
        float out[1] = {(float)d};
        give(dlogits + i, out, acc);
    }
};

template <class T>
static void loss_back(void *dlogits, const void *dloss, const void *logits, const uint8_t *target,
                      const float *positive_weight, const float *mask, int64_t B, int64_t C, double count, int acc,
                      stream *s) {
    const loss_back_body<T> body = {(T *)dlogits,    (const float *)dloss, (const T *)logits, target,
                                    positive_weight, mask,                 C,                 count,
                                    acc};
    each<1>("sigmoid_cross_entropy_backward", B * C, body, true, s);
}

void sigmoid_cross_entropy_backward_cuda(void *dlogits, const void *dloss, const void *logits,
                                         const uint8_t *target, const float *positive_weight, const float *mask,
                                         int64_t B, int64_t C, double count, int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("sigmoid_cross_entropy", type, loss_back, dlogits, dloss, logits, target, positive_weight, mask, B, C,
             count, acc, s);
}
