#include "models/ops/ops_cuda.cuh"

// A warp to a sample; a lane has every 32nd column.

enum { THREADS = 256, WARPS = THREADS / 32 };
static const double LEAST_WEIGHT = 1e-4;

// What decides about one sample's columns.
typedef struct draw_row {
    const float *scores;  // (C)
    const int32_t *group; // (C); NULL: no column is left out for its group
    int64_t own, C;
    double largest, sum; // of the softmax
    bool equal;          // all columns are as likely
} draw_row;

static __device__ __forceinline__ bool may_draw(const draw_row &k, int64_t c) {
    return c < k.C && c != k.own && (!k.group || k.group[c] != k.group[k.own]);
}

static __device__ __forceinline__ double weight(const draw_row &k, int64_t c) {
    if (!may_draw(k, c)) return 0;
    return k.equal ? 1 : exp((double)k.scores[c] - k.largest) / k.sum + LEAST_WEIGHT;
}

static __device__ __forceinline__ void draw_row_prepare(draw_row *k) {
    const int lane = (int)threadIdx.x % 32;
    float largest = -INFINITY;
    int some = 0;
    for (int64_t c = lane; c < k->C; c += 32) {
        largest = fmaxf(largest, k->scores[c]);
        some |= may_draw(*k, c);
    }
    k->largest = (double)lanes_max(largest, 32);
    k->equal = !lanes_where(some);
    if (k->equal) k->group = NULL;
    k->sum = 0;
    for (int64_t c = lane; c < k->C; c += 32) k->sum += exp((double)k->scores[c] - k->largest);
    k->sum = lanes_sum(k->sum, 32);
}

// The sum of X over this lane and those before it; *ALL: over the warp.
static __device__ __forceinline__ double lanes_running(double x, double *all) {
    const int lane = (int)threadIdx.x % 32;
    double part = x; // of the lanes that differ in no bit above MASK
    for (int mask = 1; mask < 32; mask *= 2) {
        const double other = lane_xor(part, mask);
        if (lane & mask) x += other;
        part += other;
    }
    *all = part;
    return x;
}

static __device__ __forceinline__ int32_t draw(const draw_row &k, double u) {
    const int lane = (int)threadIdx.x % 32;
    double total = 0, running = 0, all = 0;
    int32_t last = -1;
    for (int64_t c = lane; c < k.C; c += 32) total += weight(k, c);
    const double goal = u * lanes_sum(total, 32);
    for (int64_t from = 0; from < k.C; from += 32, running += all) {
        const double sum = running + lanes_running(weight(k, from + lane), &all);
        const bool may = may_draw(k, from + lane);
        const uint32_t passed = lanes_where(may && sum > goal), there = lanes_where(may);
        if (passed) return (int32_t)(from + lowest_bit(passed));
        for (uint32_t bits = there; bits; bits &= bits - 1)
            last = (int32_t)(from + lowest_bit(bits));
    }
    return last;
}

static __global__ void __launch_bounds__(THREADS)
    draw_kernel(int32_t *out, const float *scores, const int32_t *group, negatives_shape z,
                draw_source source) {
    const int64_t r = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (r >= z.R) return;
    uint32_t word[1];
    draw_words(word, draw_now(source), (uint32_t)r, 0);
    draw_row k = {scores + r * z.C, group, z.first + r, z.C, 0, 0, false};
    draw_row_prepare(&k);
    const int32_t drawn = draw(k, (double)(word[0] >> 8) * 0x1p-24);
    if (threadIdx.x % 32 == 0) out[r] = drawn;
}

void draw_negatives_cuda(int32_t *out, const void *scores, const int32_t *group,
                         const negatives_shape *z, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    (void)type; // the scores are wide
    LAUNCH(s, "draw_negatives", draw_kernel, dim3((unsigned)divide_up(z->R, WARPS)), dim3(THREADS),
           out, (const float *)scores, group, *z, draw_from(z->key, z->first_sample, s));
}
