// cuDNN's attention in plain loops in double: what core/cuda/cudnn_attention.h promises of whole and of packed batches,
// for the host shim. It takes bf16 alone, so that in f16 our own kernels are met at the same shapes.
#include "core/cuda/cudnn_attention.h"

#include <math.h>
#include <string.h>

enum { SCRATCH = 80 };

bool cudnn_attention_takes(const cudnn_attention *z, stream *s) {
    (void)s;
    return z->type == DTYPE_BF16 && z->D % 8 == 0 && z->D <= 128 && z->padded == z->packed;
}

size_t cudnn_attention_scratch(const cudnn_attention *z, stream *s) {
    (void)z, (void)s;
    return SCRATCH;
}

// One sample's head: its tokens, and where the first of each tensor's is.
typedef struct sample {
    int64_t queries, keys, q, k, v, out, lse;
} sample;

static sample sample_of(const cudnn_attention *z, const cudnn_attention_lengths *l, int64_t b, int64_t h) {
    const int64_t skip = h * z->D, lse = (b * z->H + h) * z->TQ;
    if (l)
        return (sample){l->q[b],
                        l->k[b],
                        l->q_start[b] + skip,
                        l->k_start[b] + skip,
                        l->v_start[b] + skip,
                        l->out_start[b] + skip,
                        lse};
    return (sample){z->TQ,
                    z->TK,
                    b * z->TQ * z->q_row + skip,
                    b * z->TK * z->k_row + skip,
                    b * z->TK * z->v_row + skip,
                    b * z->TQ * z->out_row + skip,
                    lse};
}

// Keys that query I sees.
static int64_t seen(const cudnn_attention *z, const sample *x, int64_t i) {
    return z->causal ? i + 1 + x->keys - x->queries : x->keys;
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
    if (!cudnn_attention_takes(z, s) || (lengths != NULL) != (z->packed != 0))
        die("cudnn_attention_shim: a call that is not taken");
    for (int64_t b = 0; lengths && b < z->B; b++)
        if (lengths->q[b] > z->TQ || lengths->k[b] > z->TK || (z->causal && lengths->q[b] > lengths->k[b]))
            die("cudnn_attention_shim: sample %lld has %d queries and %d keys", (long long)b, lengths->q[b],
                lengths->k[b]);
    memset(scratch, 0x5a, SCRATCH);
}

static void query_forward(void *out, float *lse, const void *q, const void *k, const void *v, double scale,
                          const cudnn_attention *z, const sample *x, int64_t i) {
    const int64_t query = x->q + i * z->q_row, keys = seen(z, x, i);
    double most = -INFINITY, sum = 0, o[128] = {0};
    for (int64_t j = 0; j < keys; j++) most = fmax(most, scale * dot(q, query, k, x->k + j * z->k_row, z->D));
    for (int64_t j = 0; j < keys; j++) {
        double p = exp(scale * dot(q, query, k, x->k + j * z->k_row, z->D) - most);
        sum += p;
        for (int64_t d = 0; d < z->D; d++) o[d] += p * at(v, x->v + j * z->v_row + d);
    }
    for (int64_t d = 0; d < z->D; d++) element_put(out, x->out + i * z->out_row + d, o[d] / sum, DTYPE_BF16);
    lse[x->lse + i] = (float)(most + log(sum));
}

void cudnn_attention_forward(void *out, float *lse, const void *q, const void *k, const void *v, float scale,
                             const cudnn_attention_lengths *lengths, const cudnn_attention *z, void *scratch,
                             stream *s) {
    expect(z, lengths, scratch, s);
    for (int64_t r = 0; r < z->B * z->H; r++) {
        const sample x = sample_of(z, lengths, r / z->H, r % z->H);
        for (int64_t i = 0; i < x.queries; i++) query_forward(out, lse, q, k, v, (double)scale, z, &x, i);
    }
}

// One gradient of one head's token T: of a query (which 0), a key (1) or a value (2).
static void gradient_of(void *to, int which, int64_t t, const void *dout, const void *out, const float *lse,
                        const void *q, const void *k, const void *v, double scale, const cudnn_attention *z,
                        const sample *x) {
    double sum[128] = {0};
    for (int64_t other = 0; other < (which ? x->queries : seen(z, x, t)); other++) {
        int64_t i = which ? other : t, j = which ? t : other;
        if (j >= seen(z, x, i)) continue;
        int64_t query = x->q + i * z->q_row, given = x->out + i * z->out_row;
        int64_t key = x->k + j * z->k_row, value = x->v + j * z->v_row;
        double p = exp(scale * dot(q, query, k, key, z->D) - (double)lse[x->lse + i]);
        double ds = scale * p * (dot(dout, given, v, value, z->D) - dot(dout, given, out, given, z->D));
        for (int64_t d = 0; d < z->D; d++)
            sum[d] += which == 0 ? ds * at(k, key + d) : which == 1 ? ds * at(q, query + d) : p * at(dout, given + d);
    }
    const int64_t first[] = {x->q, x->k, x->v}, row[] = {z->q_row, z->k_row, z->v_row};
    for (int64_t d = 0; d < z->D; d++) element_put(to, first[which] + t * row[which] + d, sum[d], DTYPE_BF16);
}

void cudnn_attention_backward(const cudnn_attention_gradient *to, const void *dout, const void *out,
                              const float *lse, const void *q, const void *k, const void *v, float scale,
                              const cudnn_attention_lengths *lengths, const cudnn_attention *z, void *scratch,
                              stream *s) {
    void *const all[] = {to->dq, to->dk, to->dv};
    expect(z, lengths, scratch, s);
    for (int64_t r = 0; r < z->B * z->H; r++) {
        const sample x = sample_of(z, lengths, r / z->H, r % z->H);
        for (int which = 0; which < 3; which++)
            for (int64_t t = 0; t < (which ? x.keys : x.queries); t++)
                gradient_of(all[which], which, t, dout, out, lse, q, k, v, (double)scale, z, &x);
    }
}
