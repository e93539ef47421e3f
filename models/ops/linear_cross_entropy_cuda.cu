#include "models/ops/ops_cuda.cuh"

template <class T> struct scale_body {
    T *dinp;
    const float *dloss;
    const T *kept;
    const float *row_weight;
    double factor;
    int64_t D;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        const double upstream = (double)*dloss * factor;
        const float scale = (float)(row_weight ? upstream * (double)row_weight[i / D] : upstream);
        float x[V];
        load(x, kept + i);
        UNROLL for (int v = 0; v < V; v++) x[v] *= scale;
        give(dinp + i, x, acc);
    }
};

template <class T>
static void scale_all(void *dinp, const void *dloss, const void *kept, const void *row_weight,
                      double factor, int64_t rows, int64_t D, int acc, stream *s) {
    const scale_body<T> body = {
        (T *)dinp, (const float *)dloss, (const T *)kept, (const float *)row_weight, factor, D,
        acc};
    each<PACK<T>>("linear_cross_entropy_backward", rows * D, body,
                  D % PACK<T> == 0 && aligned(dinp, kept), s);
}

void linear_cross_entropy_backward_cuda(void *dinp, const void *dloss, const void *kept,
                                        const void *row_weight, double factor, int64_t rows,
                                        int64_t D, int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("linear_cross_entropy", type, scale_all, dinp, dloss, kept, row_weight, factor, rows,
             D, acc, s);
}
