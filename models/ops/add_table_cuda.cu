#include "models/ops/ops_cuda.cuh"

template <class T> struct table_body {
    T *out;
    const T *inp, *table;
    int64_t n;
    template <int V> __device__ void at(int64_t i) const {
        float x[V], w[V];
        load(x, inp + i);
        load(w, table + i % n);
        UNROLL for (int v = 0; v < V; v++) x[v] += w[v];
        store(out + i, x);
    }
};

template <class T>
static void table_all(void *out, const void *inp, const void *table, int64_t B, int64_t n, stream *s) {
    const table_body<T> body = {(T *)out, (const T *)inp, (const T *)table, n};
    each<PACK<T>>("add_table_forward", B * n, body, n % PACK<T> == 0 && aligned(out, inp, table), s);
}

void add_table_forward_cuda(void *out, const void *inp, const void *table, int64_t B, int64_t n, dtype type,
                            stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("add_table", type, table_all, out, inp, table, B, n, s);
}

// A thread adds the samples of its elements in order: a few in float, the rest in double.
template <class T, class G> struct table_back_body {
    enum { FEW = 8 };
    G *dtable;
    const T *dout;
    int64_t B, n;
    int acc;
    template <int V> __device__ void at(int64_t i) const {
        double sum[V];
        float d[V];
        UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
        for (int64_t b = 0; b < B;) {
            float few[V];
            UNROLL for (int v = 0; v < V; v++) few[v] = 0;
            for (int f = 0; f < FEW && b < B; f++, b++) {
                load(d, dout + b * n + i);
                UNROLL for (int v = 0; v < V; v++) few[v] += d[v];
            }
            UNROLL for (int v = 0; v < V; v++) sum[v] += (double)few[v];
        }
        if (acc) load(d, dtable + i);
        UNROLL for (int v = 0; v < V; v++) d[v] = (float)(sum[v] + (acc ? (double)d[v] : 0));
        store(dtable + i, d);
    }
};

template <class T>
static void table_back(void *dtable, const void *dout, int64_t B, int64_t n, int acc, bool wide, stream *s) {
    const char *name = "add_table_backward";
    const bool whole = n % PACK<T> == 0 && aligned(dtable, dout);
    if (wide)
        each<PACK<T>>(name, n, table_back_body<T, float>{(float *)dtable, (const T *)dout, B, n, acc}, whole, s);
    else
        each<PACK<T>>(name, n, table_back_body<T, T>{(T *)dtable, (const T *)dout, B, n, acc}, whole, s);
}

void add_table_backward_cuda(void *dtable, const void *dout, int64_t B, int64_t n, int acc, dtype type,
                             dtype table_type, stream *s) {
    KERNEL_BEGIN(s);
    if (table_type != DTYPE_F32 && table_type != type) die("add_table: a gradient in %s", dtype_name(table_type));
    FOR_TYPE("add_table", type, table_back, dtable, dout, B, n, acc, table_type == DTYPE_F32, s);
}
