// cuDNN's attention in plain loops in double: what core/cuda/cudnn_attention.h promises of whole batches, for the
// host shim. It takes bf16 alone, so that in f16 our own kernels are met at the same shapes.
#include "core/cuda/cudnn_attention.h"

#include <math.h>
#include <string.h>

enum { SCRATCH = 80 };

bool cudnn_attention_takes(const cudnn_attention *z, stream *s) {
    (void)s;
    return z->type == DTYPE_BF16 && z->D % 8 == 0 && z->D <= 128 && !z->causal && !z->padded;
}

size_t cudnn_attention_scratch(const cudnn_attention *z, stream *s) {
    (void)z, (void)s;
    return SCRATCH;
}

static double at(const void *x, int64_t i) {
    return element_get(x, i, DTYPE_BF16);
}

static double dot(const void *a, int64_t i, const void *b, int64_t j, int64_t D) {
    double sum = 0;
    for (int64_t d = 0; d < D; d++) sum += at(a, i + d) * at(b, j + d);
    return sum;
}

static void expect(const cudnn_attention *z, const cudnn_attention_lengths *lengths, void *scratch, stream *s) {
    if (!cudnn_attention_takes(z, s) || lengths) die("cudnn_attention_shim: a call that is not taken");
    memset(scratch, 0x5a, SCRATCH);
}

void cudnn_attention_forward(void *out, float *lse, const void *q, const void *k, const void *v, float scale,
                             const cudnn_attention_lengths *lengths, const cudnn_attention *z, void *scratch,
                             stream *s) {
    expect(z, lengths, scratch, s);
    for (int64_t r = 0; r < z->B * z->H * z->TQ; r++) {
        int64_t i = r % z->TQ, h = r / z->TQ % z->H, b = r / z->TQ / z->H;
        int64_t query = (b * z->TQ + i) * z->q_row + h * z->D, head = b * z->TK * z->k_row + h * z->D;
        double most = -INFINITY, sum = 0, o[128] = {0};
        for (int64_t j = 0; j < z->TK; j++)
            most = fmax(most, (double)scale * dot(q, query, k, head + j * z->k_row, z->D));
        for (int64_t j = 0; j < z->TK; j++) {
            double p = exp((double)scale * dot(q, query, k, head + j * z->k_row, z->D) - most);
            sum += p;
            for (int64_t d = 0; d < z->D; d++) o[d] += p * at(v, head + j * z->v_row + d);
        }
        for (int64_t d = 0; d < z->D; d++) element_put(out, query + d, o[d] / sum, DTYPE_BF16);
        lse[r] = (float)(most + log(sum));
    }
}

// One gradient of one head's token T: of a query (which 0), a key (1) or a value (2).
static void gradient_of(void *to, int which, int64_t b, int64_t h, int64_t t, const void *dout, const void *out,
                        const float *lse, const void *q, const void *k, const void *v, double scale,
                        const cudnn_attention *z) {
    double sum[128] = {0};
    for (int64_t other = 0; other < (which ? z->TQ : z->TK); other++) {
        int64_t i = which ? other : t, j = which ? t : other;
        int64_t query = (b * z->TQ + i) * z->q_row + h * z->D, key = (b * z->TK + j) * z->k_row + h * z->D;
        double p = exp(scale * dot(q, query, k, key, z->D) - (double)lse[(b * z->H + h) * z->TQ + i]);
        double ds = scale * p * (dot(dout, query, v, key, z->D) - dot(dout, query, out, query, z->D));
        for (int64_t d = 0; d < z->D; d++)
            sum[d] += which == 0 ? ds * at(k, key + d) : which == 1 ? ds * at(q, query + d) : p * at(dout, query + d);
    }
    int64_t T = which ? z->TK : z->TQ, first = (b * T + t) * z->q_row + h * z->D;
    for (int64_t d = 0; d < z->D; d++) element_put(to, first + d, sum[d], DTYPE_BF16);
}

void cudnn_attention_backward(const cudnn_attention_gradient *to, const void *dout, const void *out,
                              const float *lse, const void *q, const void *k, const void *v, float scale,
                              const cudnn_attention_lengths *lengths, const cudnn_attention *z, void *scratch,
                              stream *s) {
    void *const all[] = {to->dq, to->dk, to->dv};
    expect(z, lengths, scratch, s);
    for (int which = 0; which < 3; which++)
        for (int64_t b = 0; b < z->B; b++)
            for (int64_t h = 0; h < z->H; h++)
                for (int64_t t = 0; t < (which ? z->TK : z->TQ); t++)
                    gradient_of(all[which], which, b, h, t, dout, out, lse, q, k, v, (double)scale, z);
}
