#include "models/ops/ops_cuda.cuh"

// A block looks after a row. Vocabularies are odd, so rows begin anywhere: the numbers up to a
// multiple of 16 bytes and behind the last one are taken one by one, all others in packs.

enum { THREADS = 256, WARPS = THREADS / 32, BLOCKS = 1 << 12 };

typedef struct row_plan {
    int64_t head, packs, singles; // numbers before the packs; packs; numbers that are in none
} row_plan;

template <class T>
static __device__ __forceinline__ row_plan row_plan_make(const T *row, int64_t C, bool whole) {
    const int64_t gap = (int64_t)(16 - (uintptr_t)row % 16) % 16 / (int64_t)sizeof(T);
    const int64_t head = whole && gap < C ? gap : C, packs = (C - head) / PACK<T>;
    return {head, packs, C - packs * PACK<T>};
}

// Where the I-th of the numbers that are in no pack stands.
static __device__ __forceinline__ int64_t single_place(const row_plan &p, int64_t i, int width) {
    return i < p.head ? i : i + p.packs * width;
}

static __device__ __forceinline__ float block_max(float x, shared_array<float> parts) {
    x = lanes_max(x, 32);
    BLOCK_SYNC(); // what was in PARTS has been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    BLOCK_SYNC();
    for (int w = 0; w < WARPS; w++) x = fmaxf(x, parts[w]);
    return x;
}

// A thread's part of a row: the largest number yet, the sum of exp(x - largest), the sum of x.
typedef struct row_sums {
    float largest, exps, sum;
} row_sums;

template <int V>
static __device__ __forceinline__ void row_sums_add(row_sums *k, const float (&x)[V]) {
    float largest = k->largest;
    UNROLL for (int v = 0; v < V; v++) largest = fmaxf(largest, x[v]);
    k->exps *= expf(k->largest - largest);
    UNROLL for (int v = 0; v < V; v++) {
        k->exps += expf(x[v] - largest);
        k->sum += x[v];
    }
    k->largest = largest;
}

template <class T> static __device__ __forceinline__ row_sums row_sums_of(const T *row, int64_t C) {
    const row_plan p = row_plan_make(row, C, true);
    row_sums k = {-3.4e38f, 0, 0}; // finite, as logits of -inf may come first
    for (int64_t i = threadIdx.x; i < p.singles; i += THREADS) {
        float x[1];
        load(x, row + single_place(p, i, PACK<T>));
        row_sums_add(&k, x);
    }
    for (int64_t i = threadIdx.x; i < p.packs; i += THREADS) {
        float x[PACK<T>];
        load(x, row + p.head + i * PACK<T>);
        row_sums_add(&k, x);
    }
    return k;
}

// A target that is none is not the kernel's to report, as no launch waits for the host: it makes
// the loss NaN, and the step is stopped with the weights intact. PARTIAL: a sum of losses per
// block.
template <class T>
__global__ void __launch_bounds__(THREADS)
    rows_kernel(double *partial, float *peak, const T *logits, const int32_t *target,
                const float *row_weight, int64_t R, int64_t C, double smoothing) {
    SHARED(double, sums, WARPS);
    SHARED(float, most, WARPS);
    double loss = 0;
    for (int64_t r = blockIdx.x; r < R; r += gridDim.x) {
        const int32_t y = target[r];
        if (y < -1 || y >= C) loss = (double)NAN;
        if (y >= 0 && y < C) {
            const row_sums k = row_sums_of(logits + r * C, C);
            const float largest = block_max(k.largest, most);
            const double exps =
                block_sum<THREADS>((double)(k.exps * expf(k.largest - largest)), sums);
            const double sum = block_sum<THREADS>((double)k.sum, sums);
            const double l = (double)largest + log(exps);
            double own = (1 - smoothing) * (l - (double)widen(logits[r * C + y]));
            if (smoothing > 0) own += smoothing * (l - sum / (double)C);
            loss += row_weight ? own * (double)row_weight[r] : own;
            if (threadIdx.x == 0) peak[2 * r] = largest, peak[2 * r + 1] = (float)exps;
        }
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = loss;
}

static __global__ void __launch_bounds__(THREADS)
    total_kernel(float *loss, const double *partial, int64_t blocks, double count, int acc) {
    SHARED(double, parts, WARPS);
    double sum = 0;
    for (int64_t b = threadIdx.x; b < blocks; b += THREADS) sum += partial[b];
    sum = block_sum<THREADS>(sum, parts);
    if (threadIdx.x == 0) *loss = (float)(sum / count + (acc ? (double)*loss : 0));
}

template <class T>
static void loss_all(void *loss, void *peak, const void *logits, const int32_t *target,
                     const void *row_weight, int64_t R, int64_t C, double smoothing, double count,
                     int acc, stream *s) {
    const char *name = "cross_entropy_forward";
    double *partial = stream_cuda(s)->partials;
    const unsigned blocks = blocks_for(R, BLOCKS);
    LAUNCH(s, name, (rows_kernel<T>), dim3(blocks), dim3(THREADS), partial, (float *)peak,
           (const T *)logits, target, (const float *)row_weight, R, C, smoothing);
    LAUNCH(s, name, total_kernel, dim3(1), dim3(THREADS), (float *)loss, partial, (int64_t)blocks,
           count, acc);
}

void cross_entropy_forward_cuda(void *loss, void *peak, const void *logits, const int32_t *target,
                                const void *row_weight, int64_t R, int64_t C, double smoothing,
                                double count, int acc, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("cross_entropy", type, loss_all, loss, peak, logits, target, row_weight, R, C,
             smoothing, count, acc, s);
}

// --- backward ------------------------------------------------------------------------------------
// What all numbers of a row share.
typedef struct row_slope {
    float share, own; // dloss / count times s / C and 1 - s
    float factor;     // dloss / count / sum
    float largest;
    int64_t target; // -1: the row does not count
} row_slope;

template <class T, int V>
static __device__ __forceinline__ void slope_at(T *dlogits, const T *logits, int64_t c,
                                                const row_slope &k, int acc) {
    float x[V];
    if (k.target < 0 && acc) return;
    load(x, logits + c);
    UNROLL for (int v = 0; v < V; v++) {
        const float d = k.factor * expf(x[v] - k.largest) - k.share;
        x[v] = k.target < 0 ? 0 : c + v == k.target ? d - k.own : d;
    }
    give(dlogits + c, x, acc);
}

// DLOGITS may be LOGITS: each number is read and written by one thread.
template <class T>
__global__ void __launch_bounds__(THREADS)
    slopes_kernel(T *dlogits, const float *dloss, const T *logits, const float *peak,
                  const int32_t *target, const float *row_weight, int64_t R, int64_t C,
                  double smoothing, double count, int acc) {
    const double of_all = (dloss ? (double)*dloss : 1) / count;
    row_slope k = {0, 0, 0, 0, 0};
    const bool whole = ((uintptr_t)dlogits ^ (uintptr_t)logits) % 16 == 0;
    for (int64_t r = blockIdx.x; r < R; r += gridDim.x) {
        const T *row = logits + r * C;
        const row_plan p = row_plan_make(row, C, whole);
        k.target = target[r] < C ? target[r] : -1;
        if (k.target >= 0) {
            const double upstream = row_weight ? of_all * (double)row_weight[r] : of_all;
            k.share = (float)(upstream * smoothing / (double)C);
            k.own = (float)(upstream * (1 - smoothing));
            k.largest = peak[2 * r];
            k.factor = (float)(upstream / (double)peak[2 * r + 1]);
        }
        for (int64_t i = threadIdx.x; i < p.singles; i += THREADS)
            slope_at<T, 1>(dlogits + r * C, row, single_place(p, i, PACK<T>), k, acc);
        for (int64_t i = threadIdx.x; i < p.packs; i += THREADS)
            slope_at<T, PACK<T>>(dlogits + r * C, row, p.head + i * PACK<T>, k, acc);
    }
}

template <class T>
static void slopes_all(void *dlogits, const void *dloss, const void *logits, const void *peak,
                       const int32_t *target, const void *row_weight, int64_t R, int64_t C,
                       double smoothing, double count, int acc, stream *s) {
    LAUNCH(s, "cross_entropy_backward", (slopes_kernel<T>), dim3(blocks_for(R, 1 << 16)),
           dim3(THREADS), (T *)dlogits, (const float *)dloss, (const T *)logits,
           (const float *)peak, target, (const float *)row_weight, R, C, smoothing, count, acc);
}

void cross_entropy_backward_cuda(void *dlogits, const void *dloss, const void *logits,
                                 const void *peak, const int32_t *target, const void *row_weight,
                                 int64_t R, int64_t C, double smoothing, double count, int acc,
                                 dtype type, stream *s) {
    KERNEL_BEGIN(s);
    FOR_TYPE("cross_entropy", type, slopes_all, dlogits, dloss, logits, peak, target, row_weight, R,
             C, smoothing, count, acc, s);
}
