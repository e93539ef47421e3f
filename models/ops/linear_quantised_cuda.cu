// Linear layers with weights in few bits. A few rows of x read the codes themselves, a warp to an output; for more,
// the weight becomes plain tile by tile, each in the type that the library multiplies. FP8 is multiplied as it is where
// the library can (Hopper), x or dout being rounded to E4M3 as well; elsewhere the same numbers are, in the wider type.
#include "models/ops/ops_cuda.cuh"
extern "C" {
#include "core/cuda/cublas.h"
#include "models/ops/quantised.h"
}

enum { CODES = 8, ROUND_THREADS = 256, TURN = 64, TURN_THREADS = 256, FEW_THREADS = 256, FEW_WARPS = FEW_THREADS / 32, FEW_ROWS = 4 };

// Where codes are, as kernels take it.
template <quantisation HOW> struct code_source {
    quantised q;
    int64_t K;

    // V numbers of row N from column K on: with NF4 inside one block.
    template <int V> __device__ __forceinline__ void read(float (&w)[V], int64_t n, int64_t k) const {
        const int64_t at = n * K + k;
        if constexpr (HOW == QUANT_NF4) {
            const int64_t block = at / NF4_BLOCK;
            const float size = multiply_then_add(q.table[16 + q.sizes[block]], q.scale[block / NF4_SIZES], q.offset);
            const pack<uint8_t, V / 2> bytes = *(const pack<uint8_t, V / 2> *)((const uint8_t *)q.codes + at / 2);
            UNROLL for (int v = 0; v < V / 2; v++) {
                w[2 * v] = q.table[bytes.x[v] >> 4] * size;
                w[2 * v + 1] = q.table[bytes.x[v] & 15] * size;
            }
        } else {
            const float scale = q.scale[n];
            const pack<uint8_t, V> bytes = *(const pack<uint8_t, V> *)((const uint8_t *)q.codes + at);
            UNROLL for (int v = 0; v < V; v++)
                w[v] = (HOW == QUANT_FP8 ? e4m3_value(bytes.x[v]) : (float)(int8_t)bytes.x[v]) * scale;
        }
    }
};

template <class T, quantisation HOW> struct plain_body {
    T *out;
    code_source<HOW> source;
    int64_t first;
    template <int V> __device__ void at(int64_t i) const {
        float w[V];
        source.template read<V>(w, first + i / source.K, i % source.K);
        store(out + i, w);
    }
};

// NF4 codes come in pairs, and rows are whole blocks of them: packs alone.
template <class T> __global__ void __launch_bounds__(EACH_THREADS) plain_kernel(int64_t packs, plain_body<T, QUANT_NF4> body) {
    for (int64_t i = (int64_t)blockIdx.x * EACH_THREADS + threadIdx.x; i < packs;
         i += (int64_t)gridDim.x * EACH_THREADS)
        body.template at<CODES>(i * CODES);
}

// Whole bytes of any width go one by one where rows are no whole packs.
static bool whole_codes(const quantised *q, int64_t K) {
    return K % CODES == 0 && (uintptr_t)q->codes % CODES == 0;
}

template <class T>
static void plain_rows(void *out, const quantised *q, int64_t first, int64_t rows, int64_t K, stream *s) {
    const char *name = "linear_quantised_plain";
    const bool whole = whole_codes(q, K) && aligned(out);
    if (q->how == QUANT_INT8)
        each<CODES>(name, rows * K, plain_body<T, QUANT_INT8>{(T *)out, {*q, K}, first}, whole, s);
    else if (q->how == QUANT_FP8)
        each<CODES>(name, rows * K, plain_body<T, QUANT_FP8>{(T *)out, {*q, K}, first}, whole, s);
    else
        LAUNCH(s, name, (plain_kernel<T>), dim3(blocks_for(divide_up(rows * K / CODES, EACH_THREADS), EACH_BLOCKS)),
               dim3(EACH_THREADS), rows * K / CODES, plain_body<T, QUANT_NF4>{(T *)out, {*q, K}, first});
}

// Rows FIRST to FIRST + rows of the weight as plain numbers.
static void make_plain(void *out, const quantised *q, int64_t first, int64_t rows, int64_t K,
                       dtype type, stream *s) {
    FOR_TYPE("linear_quantised", type, plain_rows, out, q, first, rows, K, s);
}

// --- a few rows --------------------------------------------------------------------------------------------
template <class T, quantisation HOW, int V>
__global__ void __launch_bounds__(FEW_THREADS)
    few_kernel(T *out, const T *x, code_source<HOW> source, const float *bias, int64_t M, int64_t N) {
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

template <class T, quantisation HOW, int V>
static void launch_few(void *out, const void *inp, const quantised *q, const void *bias, int64_t M, int64_t N,
                       int64_t K, stream *s) {
    const dim3 grid((unsigned)divide_up(N, FEW_WARPS), (unsigned)divide_up(M, FEW_ROWS));
    const code_source<HOW> source = {*q, K};
    LAUNCH(s, "linear_quantised_forward", (few_kernel<T, HOW, V>), grid, dim3(FEW_THREADS), (T *)out,
           (const T *)inp, source, (const float *)bias, M, N);
}

template <class T>
static void few_rows(void *out, const void *inp, const quantised *q, const void *bias, int64_t M, int64_t N,
                     int64_t K, stream *s) {
    const bool whole = whole_codes(q, K) && aligned(inp);
    if (q->how == QUANT_NF4 && aligned(inp))
        launch_few<T, QUANT_NF4, CODES>(out, inp, q, bias, M, N, K, s);
    else if (q->how == QUANT_NF4)
        launch_few<T, QUANT_NF4, 2>(out, inp, q, bias, M, N, K, s);
    else if (q->how == QUANT_FP8 && whole)
        launch_few<T, QUANT_FP8, CODES>(out, inp, q, bias, M, N, K, s);
    else if (q->how == QUANT_FP8)
        launch_few<T, QUANT_FP8, 1>(out, inp, q, bias, M, N, K, s);
    else if (whole)
        launch_few<T, QUANT_INT8, CODES>(out, inp, q, bias, M, N, K, s);
    else
        launch_few<T, QUANT_INT8, 1>(out, inp, q, bias, M, N, K, s);
}

// --- FP8: the other factor ---------------------------------------------------------------------------------
template <int V>
static __device__ __forceinline__ void store_rounded(uint8_t *to, float (&x)[V], float, const float (&)[V]) {
    pack<uint8_t, V> codes;
    UNROLL for (int v = 0; v < V; v++) codes.x[v] = e4m3_code(x[v]);
    *reinterpret_cast<pack<uint8_t, V> *>(to) = codes;
}
template <class T, int V>
static __device__ __forceinline__ void store_rounded(T *to, float (&x)[V], float scale, const float (&weigh)[V]) {
    UNROLL for (int v = 0; v < V; v++) x[v] = x[v] * scale * e4m3_reciprocal(weigh[v]);
    store(to, x);
}

// A pack of x's row, weighed, and what by.
template <class T, int V>
static __device__ __forceinline__ void load_weighed(float (&x)[V], float (&by)[V], const T *from, const float *weigh) {
    load(x, from);
    UNROLL for (int v = 0; v < V; v++) by[v] = 1;
    if (weigh) load(by, weigh);
    UNROLL for (int v = 0; v < V; v++) x[v] *= by[v];
}

// out (M, C) = x, each row (a block) rounded to E4M3 by a scale of its own, its columns multiplied by WEIGH (C, or
// NULL) before: as bytes and scales (M); or in a wider type, divided by WEIGH again.
template <class Out, class T, int V>
__global__ void __launch_bounds__(ROUND_THREADS)
    round_kernel(Out *out, float *scales, const T *x, const float *weigh, int64_t C) {
    SHARED(float, parts, ROUND_THREADS / 32);
    const int64_t row = (int64_t)blockIdx.x * C, first = (int64_t)threadIdx.x * V;
    float largest = 0, now[V], by[V];
    for (int64_t c = first; c < C; c += ROUND_THREADS * V) {
        load_weighed(now, by, x + row + c, weigh ? weigh + c : NULL);
        UNROLL for (int v = 0; v < V; v++) largest = fmaxf(largest, fabsf(now[v]));
    }
    largest = lanes_max(largest, 32);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = largest;
    BLOCK_SYNC();
    for (int w = 0; w < ROUND_THREADS / 32; w++) largest = fmaxf(largest, parts[w]);
    const float scale = e4m3_scale(largest), part = e4m3_reciprocal(scale);
    if (scales && threadIdx.x == 0) scales[blockIdx.x] = scale;
    for (int64_t c = first; c < C; c += ROUND_THREADS * V) {
        load_weighed(now, by, x + row + c, weigh ? weigh + c : NULL);
        UNROLL for (int v = 0; v < V; v++) now[v] = e4m3_round(now[v] * part);
        store_rounded(out + row + c, now, scale, by);
    }
}

template <class T, class Out>
static void round_to(Out *out, float *scales, const void *x, const float *weigh, int64_t M, int64_t C, stream *s) {
    const char *name = "linear_quantised_round";
    if (C % PACK<T> == 0 && aligned(x, out, weigh))
        LAUNCH(s, name, (round_kernel<Out, T, PACK<T>>), dim3((unsigned)M), dim3(ROUND_THREADS), out, scales,
               (const T *)x, weigh, C);
    else
        LAUNCH(s, name, (round_kernel<Out, T, 1>), dim3((unsigned)M), dim3(ROUND_THREADS), out, scales, (const T *)x,
               weigh, C);
}

template <class T>
static void round_plain(void *out, const void *x, const float *weigh, int64_t M, int64_t C, stream *s) {
    round_to<T>((T *)out, NULL, x, weigh, M, C, s);
}

template <class T>
static void round_codes(void *out, void *scales, const void *x, const float *weigh, int64_t M, int64_t C, stream *s) {
    round_to<T>((uint8_t *)out, (float *)scales, x, weigh, M, C, s);
}

// --- FP8: multiplied as it is ------------------------------------------------------------------------------
// out (K, N) = codes (N, K), K and N whole words of four: the library's factors have the sum along their rows.
__global__ void __launch_bounds__(TURN_THREADS) turn_kernel(uint8_t *out, const uint8_t *codes, int64_t N, int64_t K) {
    SHARED(uint8_t, tile, TURN *(TURN + 4));
    const int64_t n = (int64_t)blockIdx.y * TURN, k = (int64_t)blockIdx.x * TURN;
    for (int i = (int)threadIdx.x; i < TURN * TURN / 4; i += TURN_THREADS) {
        const int r = i / (TURN / 4), c = i % (TURN / 4) * 4;
        if (n + r >= N || k + c >= K) continue;
        const pack<uint8_t, 4> four = *(const pack<uint8_t, 4> *)(codes + (n + r) * K + k + c);
        UNROLL for (int v = 0; v < 4; v++) tile[r * (TURN + 4) + c + v] = four.x[v];
    }
    BLOCK_SYNC();
    for (int i = (int)threadIdx.x; i < TURN * TURN / 4; i += TURN_THREADS) {
        const int r = i / (TURN / 4), c = i % (TURN / 4) * 4;
        if (k + r >= K || n + c >= N) continue;
        pack<uint8_t, 4> four;
        UNROLL for (int v = 0; v < 4; v++) four.x[v] = tile[(c + v) * (TURN + 4) + r];
        *(pack<uint8_t, 4> *)(out + (k + r) * N + n + c) = four;
    }
}

struct ones_body {
    float *out;
    template <int V> __device__ void at(int64_t i) const {
        UNROLL for (int v = 0; v < V; v++) out[i + v] = 1;
    }
};

// (M, N) = a (M, K) b (N, K)^T of E4M3.
static cublas_product scaled_product(int64_t M, int64_t N, int64_t K, int acc, dtype type) {
    return {M, N, K, 0, 1, acc, DTYPE_U8, type, CUBLAS_SCALED, DTYPE_F32, 0, 0};
}

// Whether the library multiplies FP8 in both directions: then it does so in all products of more than a few rows.
static bool takes_scaled(const quantised *q, int64_t M, int64_t N, int64_t K, dtype type, stream *s) {
    if (q->how != QUANT_FP8 || M <= QUANTISED_FEW || N % 16 || K % 16) return false;
    const cublas_product products[] = {scaled_product(M, N, K, 0, type), scaled_product(M, K, N, 0, type),
                                       scaled_product(M, K, N, 1, type)};
    for (const cublas_product &z : products)
        if (!cublas_product_takes(&z, s)) return false;
    return true;
}

// Scratch of such a product: x's bytes or dout's, the turned codes, scales of rows, of columns.
struct scaled_room {
    size_t turned, rows, columns, end;
};
static scaled_room scaled_room_of(int64_t M, int64_t N, int64_t K) {
    const auto whole = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
    scaled_room r;
    r.turned = whole((size_t)(M * (N > K ? N : K)));
    r.rows = r.turned + whole((size_t)(N * K));
    r.columns = r.rows + whole((size_t)M * sizeof(float));
    r.end = r.columns + whole((size_t)K * sizeof(float));
    return r;
}

static void scaled_forward(void *out, const void *inp, const quantised *q, int64_t M, int64_t N, int64_t K, dtype type,
                           void *scratch, stream *s) {
    const scaled_room room = scaled_room_of(M, N, K);
    const cublas_product z = scaled_product(M, N, K, 0, type);
    char *base = (char *)scratch;
    FOR_TYPE("linear_quantised", type, round_codes, base, base + room.rows, inp, NULL, M, K, s);
    cublas_product_run(out, base, q->codes, base + room.rows, (void *)(uintptr_t)q->scale, &z, s);
}

// The weight's scales, which belong to terms of the sum here, go into dout's rows before these are rounded.
static void scaled_backward(void *dinp, const void *dout, const quantised *q, int64_t M, int64_t N, int64_t K, int acc,
                            dtype type, void *scratch, stream *s) {
    const scaled_room room = scaled_room_of(M, N, K);
    const cublas_product z = scaled_product(M, K, N, acc, type);
    char *base = (char *)scratch;
    uint8_t *turned = (uint8_t *)base + room.turned;
    float *ones = (float *)(base + room.columns);
    FOR_TYPE("linear_quantised", type, round_codes, base, base + room.rows, dout, q->scale, M, N, s);
    LAUNCH(s, "linear_quantised_turn", turn_kernel, dim3((unsigned)divide_up(K, TURN), (unsigned)divide_up(N, TURN)),
           dim3(TURN_THREADS), turned, (const uint8_t *)q->codes, N, K);
    each<4>("linear_quantised_turn", K, ones_body{ones}, aligned(ones), s);
    cublas_product_run(dinp, base, turned, base + room.rows, ones, &z, s);
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
    if (takes_scaled(q, M, N, K, type, s)) return scaled_room_of(M, N, K).end;
    const int64_t step = quantised_tile(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const cublas_product products[] = {forward_tile(M, N, K, rows, type), backward_tile(M, N, K, rows, 0, type),
                                           backward_tile(M, N, K, rows, 1, type)};
        for (const cublas_product &z : products) cublas_product_takes(&z, s);
    }
    return quantised_rounded_bytes(q, M, N, K, type) + quantised_tile_bytes(q, N, K, type);
}

void linear_quantised_forward_cuda(void *out, const void *inp, const quantised *q, const void *bias, int64_t M,
                                   int64_t N, int64_t K, dtype type, void *scratch, stream *s) {
    KERNEL_BEGIN(s);
    const bool scaled = takes_scaled(q, M, N, K, type, s);
    if (scaled) scaled_forward(out, inp, q, M, N, K, type, scratch, s);
    if (q->how == QUANT_FP8 && !scaled) {
        FOR_TYPE("linear_quantised", type, round_plain, scratch, inp, NULL, M, K, s);
        inp = scratch;
        scratch = (char *)scratch + quantised_rounded_bytes(q, M, N, K, type);
    }
    if (M <= QUANTISED_FEW) {
        FOR_TYPE("linear_quantised", type, few_rows, out, inp, q, bias, M, N, K, s);
        return;
    }
    const int64_t step = quantised_tile(q, N, K, type);
    for (int64_t n = 0; n < N && !scaled; n += step) {
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
    if (takes_scaled(q, M, N, K, type, s)) {
        scaled_backward(dinp, dout, q, M, N, K, acc, type, scratch, s);
        return;
    }
    if (q->how == QUANT_FP8) {
        FOR_TYPE("linear_quantised", type, round_plain, scratch, dout, q->scale, M, N, s);
        dout = scratch;
        scratch = (char *)scratch + quantised_rounded_bytes(q, M, N, K, type);
    }
    const int64_t step = quantised_tile(q, N, K, type);
    for (int64_t n = 0; n < N; n += step) {
        const int64_t rows = N - n < step ? N - n : step;
        const cublas_product z = backward_tile(M, N, K, rows, acc || n, type);
        make_plain(scratch, q, n, rows, K, type, s);
        cublas_product_run(dinp, (const char *)dout + (size_t)n * dtype_size(type), scratch, NULL, NULL, &z, s);
    }
}
