// Linear layers with weights in few bits. A few rows of x read the codes themselves, a warp to an output; for more,
// the weight becomes plain tile by tile, each in the type that the library multiplies.
#include "models/ops/ops_cuda.cuh"
extern "C" {
#include "core/cuda/cublas.h"
#include "models/ops/quantised.h"
}

enum { CODES = 8, FEW_THREADS = 256, FEW_WARPS = FEW_THREADS / 32, FEW_ROWS = 4 };

// Where codes are, as kernels take it.
template <bool NF4> struct code_source {
    quantised q;
    int64_t K;

    // V numbers of row N from column K on: with NF4 inside one block.
    template <int V> __device__ __forceinline__ void read(float (&w)[V], int64_t n, int64_t k) const {
        const int64_t at = n * K + k;
        if constexpr (NF4) {
            const int64_t block = at / NF4_BLOCK;
            const float size = q.table[16 + q.sizes[block]] * q.scale[block / NF4_SIZES] + q.offset;
            const pack<uint8_t, V / 2> bytes = *(const pack<uint8_t, V / 2> *)((const uint8_t *)q.codes + at / 2);
            UNROLL for (int v = 0; v < V / 2; v++) {
                w[2 * v] = q.table[bytes.x[v] >> 4] * size;
                w[2 * v + 1] = q.table[bytes.x[v] & 15] * size;
            }
        } else {
            const float scale = q.scale[n];
            const pack<int8_t, V> bytes = *(const pack<int8_t, V> *)((const int8_t *)q.codes + at);
            UNROLL for (int v = 0; v < V; v++) w[v] = (float)bytes.x[v] * scale;
        }
    }
};

template <class T, bool NF4> struct plain_body {
    T *out;
    code_source<NF4> source;
    int64_t first;
    template <int V> __device__ void at(int64_t i) const {
        float w[V];
        source.template read<V>(w, first + i / source.K, i % source.K);
        store(out + i, w);
    }
};

// NF4 codes come in pairs, and rows are whole blocks of them: packs alone.
template <class T> __global__ void __launch_bounds__(EACH_THREADS) plain_kernel(int64_t packs, plain_body<T, true> body) {
    for (int64_t i = (int64_t)blockIdx.x * EACH_THREADS + threadIdx.x; i < packs;
         i += (int64_t)gridDim.x * EACH_THREADS)
        body.template at<CODES>(i * CODES);
}

// Int8 of any width goes one by one where rows are no whole packs.
static bool whole_codes(const quantised *q, int64_t K) {
    return K % CODES == 0 && (uintptr_t)q->codes % CODES == 0;
}

template <class T>
static void plain_rows(void *out, const quantised *q, int64_t first, int64_t rows, int64_t K, stream *s) {
    const char *name = "linear_quantised_plain";
    if (q->how == QUANT_INT8)
        each<CODES>(name, rows * K, plain_body<T, false>{(T *)out, {*q, K}, first},
                    whole_codes(q, K) && aligned(out), s);
    else
        LAUNCH(s, name, (plain_kernel<T>), dim3(blocks_for(divide_up(rows * K / CODES, EACH_THREADS), EACH_BLOCKS)),
               dim3(EACH_THREADS), rows * K / CODES, plain_body<T, true>{(T *)out, {*q, K}, first});
}

// Rows FIRST to FIRST + rows of the weight as plain numbers.
static void make_plain(void *out, const quantised *q, int64_t first, int64_t rows, int64_t K,
                       dtype type, stream *s) {
    FOR_TYPE("linear_quantised", type, plain_rows, out, q, first, rows, K, s);
}

// --- a few rows --------------------------------------------------------------------------------------------
template <class T, bool NF4, int V>
__global__ void __launch_bounds__(FEW_THREADS)
    few_kernel(T *out, const T *x, code_source<NF4> source, const float *bias, int64_t M, int64_t N) {
    const int lane = (int)threadIdx.x % 32;
    const int64_t n = (int64_t)blockIdx.x * FEW_WARPS + threadIdx.x / 32, m = (int64_t)blockIdx.y * FEW_ROWS;
    float sum[FEW_ROWS];
    UNROLL for (int i = 0; i < FEW_ROWS; i++) sum[i] = 0;
    for (int64_t k = (int64_t)lane * V; n < N && k < source.K; k += 32 * V) {
        float w[V], row[V];
        source.template read<V>(w, n, k);
        UNROLL for (int i = 0; i < FEW_ROWS; i++) {
            if (m + i >= M) continue;
            load(row, x + (m + i) * source.K + k);
            UNROLL for (int v = 0; v < V; v++) sum[i] += row[v] * w[v];
        }
    }
    UNROLL for (int i = 0; i < FEW_ROWS; i++) {
        const float total = lanes_sum(sum[i], 32);
        if (lane == 0 && n < N && m + i < M) narrow_to(out + (m + i) * N + n, total + (bias ? bias[n] : 0));
    }
}

template <class T, bool NF4, int V>
static void launch_few(void *out, const void *inp, const quantised *q, const void *bias, int64_t M, int64_t N,
                       int64_t K, stream *s) {
    const dim3 grid((unsigned)divide_up(N, FEW_WARPS), (unsigned)divide_up(M, FEW_ROWS));
    const code_source<NF4> source = {*q, K};
    LAUNCH(s, "linear_quantised_forward", (few_kernel<T, NF4, V>), grid, dim3(FEW_THREADS), (T *)out,
           (const T *)inp, source, (const float *)bias, M, N);
}

template <class T>
static void few_rows(void *out, const void *inp, const quantised *q, const void *bias, int64_t M, int64_t N,
                     int64_t K, stream *s) {
    if (q->how == QUANT_NF4 && aligned(inp))
        launch_few<T, true, CODES>(out, inp, q, bias, M, N, K, s);
    else if (q->how == QUANT_NF4)
        launch_few<T, true, 2>(out, inp, q, bias, M, N, K, s);
    else if (whole_codes(q, K) && aligned(inp))
        launch_few<T, false, CODES>(out, inp, q, bias, M, N, K, s);
    else
        launch_few<T, false, 1>(out, inp, q, bias, M, N, K, s);
}

// --- tiles -------------------------------------------------------------------------------------------------
static cublas_product forward_tile(int64_t M, int64_t N, int64_t K, int64_t rows, dtype type) {
    return {M, rows, K, 0, 1, 0, type, type, CUBLAS_PLAIN, DTYPE_F32, 0, N};
}

static cublas_product backward_tile(int64_t M, int64_t N, int64_t K, int64_t rows, int acc, dtype type) {
    return {M, K, rows, 0, 0, acc, type, type, CUBLAS_PLAIN, DTYPE_F32, N, 0};
}

size_t linear_quantised_scratch_cuda(const quantised *q, int64_t M, int64_t N, int64_t K, dtype type, stream *s) {
    if (M == 0) return 0;
    const int64_t step = quantised_tile(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const cublas_product products[] = {forward_tile(M, N, K, rows, type), backward_tile(M, N, K, rows, 0, type),
                                           backward_tile(M, N, K, rows, 1, type)};
        for (const cublas_product &z : products) cublas_product_takes(&z, s);
    }
    return quantised_tile_bytes(q, N, K, type);
}

void linear_quantised_forward_cuda(void *out, const void *inp, const quantised *q, const void *bias, int64_t M,
                                   int64_t N, int64_t K, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    if (M <= QUANTISED_FEW) {
        FOR_TYPE("linear_quantised", type, few_rows, out, inp, q, bias, M, N, K, s);
        return;
    }
    const int64_t step = quantised_tile(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const cublas_product z = forward_tile(M, N, K, rows, type);
        make_plain(scratch, q, n, rows, K, type, s);
        cublas_product_run((char *)out + (size_t)n * dtype_size(type), inp, scratch, NULL, NULL, &z, s);
    }
    if (bias) FOR_TYPE("linear_quantised", type, add_bias, "linear_quantised_forward", out, bias, M, N, s);
}

void linear_quantised_backward_input_cuda(void *dinp, const void *dout, const quantised *q, int64_t M, int64_t N,
                                          int64_t K, int acc, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const int64_t step = quantised_tile(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const cublas_product z = backward_tile(M, N, K, rows, acc || n, type);
        make_plain(scratch, q, n, rows, K, type, s);
        cublas_product_run(dinp, (const char *)dout + (size_t)n * dtype_size(type), scratch, NULL, NULL, &z, s);
    }
}
