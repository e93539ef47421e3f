#include "models/ops/ops_cuda.cuh"

// A number outside of the table is not the kernel's to report, as no launch waits for the host: its row is NaN,
// so that the loss is, and the step is stopped with the weights intact.
template <class T> struct embedding_body {
    T *out;
    const T *table;
    const int32_t *index;
    int64_t V_, D;
    template <int V> __device__ void at(int64_t i) const {
        const int64_t row = index[i / D];
        float x[V];
        if (row >= 0 && row < V_)
            load(x, table + row * D + i % D);
        else
            UNROLL for (int v = 0; v < V; v++) x[v] = NAN;
        store(out + i, x);
    }
};

template <class T>
static void embedding_all(void *out, const void *table, const int32_t *index, int64_t rows, int64_t V, int64_t D,
                          stream *s) {
    const embedding_body<T> body = {(T *)out, (const T *)table, index, V, D};
    each<PACK<T>>("embedding_forward", rows * D, body, D % PACK<T> == 0 && aligned(out, table), s);
}

void embedding_forward_cuda(void *out, const void *table, const int32_t *index, int64_t rows, int64_t V,
                            int64_t D, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("embedding", type, embedding_all, out, table, index, rows, V, D, s);
}

// --- backward ------------------------------------------------------------------------------------------
template <class G> struct zero_body {
    G *x;
    template <int V> __device__ void at(int64_t i) const {
        float zero[V];
        UNROLL for (int v = 0; v < V; v++) zero[v] = 0;
        store(x + i, zero);
    }
};

enum { THREADS = 256, WARPS = THREADS / 32 };

// One bit per row FROM + thread that has NUMBER, in MASK.
static __device__ __forceinline__ void find_rows(shared_array<uint32_t> mask, const int32_t *index, int64_t rows,
                                                 int64_t from, int32_t number) {
    const int64_t r = from + threadIdx.x;
    const uint32_t bits = lanes_where(r < rows && index[r] == number);
    if (threadIdx.x % 32 == 0) mask[threadIdx.x / 32] = bits;
}

// A block looks after one row of dout (x) and THREADS * V columns (y). If no row before has the same number, it
// adds up all that have it, in their order; the others have nothing to do. Who adds what depends on the numbers
// alone, and nothing is sorted.
template <class T, class G, int V>
__global__ void __launch_bounds__(THREADS)
    embedding_back_kernel(G *dtable, const T *dout, const int32_t *index, int64_t rows, int64_t V_, int64_t D) {
    SHARED(uint32_t, mask, WARPS);
    const int64_t own = blockIdx.x, c = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * V;
    const int32_t number = index[own];
    if (number < 0 || number >= V_) return; // the forward pass has made it NaN
    int earlier = 0;
    for (int64_t r = threadIdx.x; r < own; r += THREADS) earlier |= index[r] == number;
    const uint32_t some = lanes_where(earlier);
    if (threadIdx.x % 32 == 0) mask[threadIdx.x / 32] = some;
    BLOCK_SYNC();
    uint32_t any = 0;
    for (int w = 0; w < WARPS; w++) any |= mask[w];
    if (any) return;
    float sum[V];
    UNROLL for (int v = 0; v < V; v++) sum[v] = 0;
    for (int64_t from = own; from < rows; from += THREADS) {
        BLOCK_SYNC();
        find_rows(mask, index, rows, from, number);
        BLOCK_SYNC();
        for (int w = 0; w < WARPS; w++)
            for (uint32_t bits = mask[w]; bits; bits &= bits - 1) {
                const int64_t r = from + w * 32 + lowest_bit(bits);
                float d[V];
                if (c >= D) continue;
                load(d, dout + r * D + c);
                UNROLL for (int v = 0; v < V; v++) sum[v] += d[v];
            }
    }
    if (c < D) give(dtable + number * D + c, sum, 1);
}

template <class T, class G>
static void back_into(G *dtable, const T *dout, const int32_t *index, int64_t rows, int64_t V, int64_t D, int acc,
                      stream *s) {
    const char *name = "embedding_backward";
    if (!acc) each<PACK<G>>(name, V * D, zero_body<G>{dtable}, aligned(dtable), s);
    if (D % PACK<T> == 0 && aligned(dtable, dout))
        LAUNCH(s, name, (embedding_back_kernel<T, G, PACK<T>>),
               dim3((unsigned)rows, (unsigned)divide_up(D, THREADS * PACK<T>)), dim3(THREADS), dtable, dout, index,
               rows, V, D);
    else
        LAUNCH(s, name, (embedding_back_kernel<T, G, 1>), dim3((unsigned)rows, (unsigned)divide_up(D, THREADS)),
               dim3(THREADS), dtable, dout, index, rows, V, D);
}

template <class T>
static void back_all(void *dtable, const void *dout, const int32_t *index, int64_t rows, int64_t V, int64_t D,
                     int acc, bool wide, stream *s) {
    if (wide)
        back_into((float *)dtable, (const T *)dout, index, rows, V, D, acc, s);
    else
        back_into((T *)dtable, (const T *)dout, index, rows, V, D, acc, s);
}

void embedding_backward_cuda(void *dtable, const void *dout, const int32_t *index, int64_t rows, int64_t V,
                             int64_t D, int acc, dtype type, dtype table_type, stream *s) {
    KERNEL_BEGIN(s);
    if (table_type != DTYPE_F32 && table_type != type) die("embedding: a gradient in %s", dtype_name(table_type));
    FOR_TYPE("embedding", type, back_all, dtable, dout, index, rows, V, D, acc, table_type == DTYPE_F32, s);
}
