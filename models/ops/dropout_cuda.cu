#include "models/ops/dropout_cuda.cuh"

// Forward and backward are the same linear map. Packs lie inside one sample: PER_SAMPLE is a multiple of V
// wherever V is more than 1.
template <class T> struct drop_body {
    T *out;
    const T *inp;
    int64_t per_sample, group;
    draw_source source;
    uint32_t limit;
    float scale;
    int acc;

    template <int V> __device__ void at(int64_t i) const {
        const draw_source d = draw_now(source);
        const int64_t sample = i / per_sample, element = i % per_sample;
        uint32_t words[V];
        float x[V];
        if (group == 1)
            draw_words(words, d, (uint32_t)sample, (uint64_t)element);
        else
            group_words(words, d, (uint32_t)sample, element);
        load(x, inp + i);
        UNROLL for (int v = 0; v < V; v++) x[v] = words[v] >> 8 >= limit ? x[v] * scale : 0;
        give(out + i, x, acc);
    }

    template <int V>
    __device__ void group_words(uint32_t (&words)[V], const draw_source &d, uint32_t sample,
                                int64_t element) const {
        uint32_t one[1] = {0};
        int64_t drawn = -1;
        UNROLL for (int v = 0; v < V; v++) {
            const int64_t g = (element + v) / group;
            if (g != drawn) draw_words(one, d, sample, (uint64_t)g);
            drawn = g;
            words[v] = one[0];
        }
    }
};

template <class T> struct drop_rows_body {
    T *out;
    const T *inp;
    row_dropout dropout;
    int acc;

    template <int V> __device__ void at(int64_t i) const {
        float x[V];
        load(x, inp + i);
        dropout.apply(x, i / dropout.D, i % dropout.D);
        give(out + i, x, acc);
    }
};

template <class T>
static void drop(const char *name, void *out, const void *inp, const dropout_shape *z, int acc, stream *s) {
    const int64_t n = z->samples * z->per_sample;
    const bool whole = z->per_sample % PACK<T> == 0 && aligned(out, inp);
    const drop_rows_body<T> rows = {(T *)out, (const T *)inp, row_dropout_from(z, s), acc};
    const drop_body<T> body = {(T *)out,
                               (const T *)inp,
                               z->per_sample,
                               z->group,
                               draw_from(z->key, z->first_sample, s),
                               draw_limit(z->rate),
                               (float)(1 / (1 - z->rate)),
                               acc};
    if (z->rows)
        each<PACK<T>>(name, n, rows, whole, s);
    else
        each<PACK<T>>(name, n, body, whole, s);
}

void dropout_forward_cuda(void *out, const void *inp, const dropout_shape *z, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("dropout", type, drop, "dropout_forward", out, inp, z, 0, s);
}

void dropout_backward_cuda(void *dinp, const void *dout, const dropout_shape *z, int acc, dtype type,
                           stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("dropout", type, drop, "dropout_backward", dinp, dout, z, acc, s);
}
