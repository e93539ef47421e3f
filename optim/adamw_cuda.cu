// The optimizer's kernels for CUDA, in f32. See optim/kernels.h for what they do and adamw_cpu.c for the order of
// the arithmetic: scalars in double, elements in float.
#include "core/cuda/intrin.cuh"
extern "C" {
#include "optim/kernels.h"

#define X(name, args) void name##_cuda args;
OPTIM_KERNELS(X)
#undef X
}
#include <cfloat>

enum { THREADS = 256, WARPS = THREADS / 32, MOST_BLOCKS = 4096 };

static void expect_f32(const char *kernel, dtype type) {
    if (type != DTYPE_F32) die("%s: the CUDA kernel got %s, expected F32", kernel, dtype_name(type));
}

static unsigned blocks_of(int64_t work) {
    const int64_t blocks = (work + THREADS - 1) / THREADS;
    return (unsigned)(blocks < MOST_BLOCKS ? blocks : (int64_t)MOST_BLOCKS);
}

// The sum over the block, right in thread 0. PARTS (WARPS).
static __device__ __forceinline__ double sum_block(double x, shared_array<double> parts) {
    for (int mask = 16; mask > 0; mask /= 2) x += lane_xor(x, mask);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    BLOCK_SYNC();
    double sum = 0;
    if (threadIdx.x == 0)
        for (int w = 0; w < WARPS; w++) sum += parts[w];
    return sum;
}

// --- the norm --------------------------------------------------------------------------------------------
// A block per OPTIM_SUM_BLOCK elements. An element's thread depends on its place in that, and on nothing else.
__global__ void __launch_bounds__(THREADS)
    squares_kernel(double *partial, const float *grad, int64_t offset, int64_t end, int64_t first) {
    SHARED(double, parts, WARPS);
    const int64_t block = first + blockIdx.x, from = block * OPTIM_SUM_BLOCK;
    double sum = 0;
    UNROLL for (int i = (int)threadIdx.x; i < OPTIM_SUM_BLOCK; i += THREADS) {
        const int64_t at = from + i;
        const double x = at >= offset && at < end ? (double)grad[at] : 0;
        sum += x * x;
    }
    sum = sum_block(sum, parts);
    if (threadIdx.x == 0) partial[block] += sum;
}

void sum_squares_cuda(double *partial, const void *grad, int64_t offset, int64_t count, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    expect_f32("sum_squares", type);
    if (count <= 0) return;
    const int64_t end = offset + count, first = offset / OPTIM_SUM_BLOCK, last = (end - 1) / OPTIM_SUM_BLOCK;
    LAUNCH(s, "sum_squares", squares_kernel, dim3((unsigned)(last - first + 1)), dim3(THREADS), partial,
           (const float *)grad, offset, end, first);
}

// scaler_update of optim/scaler.c, which the tests hold against this.
static __device__ void scaler_move(scaler *s, bool finite) {
    if (!s->interval) return;
    if (!finite) {
        const double lower = s->scale * s->backoff;
        if (lower >= (double)FLT_MIN) s->scale = lower;
        s->good_steps = 0;
    } else if (++s->good_steps >= s->interval) {
        const double higher = s->scale * s->growth;
        if (higher <= (double)FLT_MAX) s->scale = higher;
        s->good_steps = 0;
    }
}

__global__ void __launch_bounds__(THREADS)
    norm_kernel(adamw_progress *progress, const double *partial, int64_t blocks) {
    SHARED(double, parts, WARPS);
    double sum = 0;
    for (int64_t b = threadIdx.x; b < blocks; b += THREADS) sum += partial[b];
    sum = sum_block(sum, parts);
    if (threadIdx.x != 0) return;
    progress->unscale = 1 / progress->scaler.scale;
    progress->norm = progress->unscale * sqrt(sum);
    const bool finite = isfinite(progress->norm);
    if (finite) progress->steps++;
    scaler_move(&progress->scaler, finite);
    progress->seed = (float)progress->scaler.scale;
}

void norm_finish_cuda(adamw_progress *progress, const double *partial, int64_t blocks, stream *s) {
    KERNEL_BEGIN(s);
    LAUNCH(s, "norm_finish", norm_kernel, dim3(1), dim3(THREADS), progress, partial, blocks);
}

// --- the update ------------------------------------------------------------------------------------------
// The update with its scalars worked out:
//     g = grad scale,  m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2,
//     p = before p,    p = p - step m / (sqrt(v) / root + eps),    p = p - after p.
enum { SCALE, BETA1, REST1, BETA2, REST2, BEFORE, STEP, ROOT, EPS, AFTER, FACTORS };

static __device__ void factors_make(shared_array<float> f, const adamw_args &a, const adamw_progress *progress) {
    const double t = (double)progress->steps;
    const double correction1 = 1 - pow(a.beta1, t), root2 = sqrt(1 - pow(a.beta2, t));
    const double lr = progress->lr * a.lr_scale;
    const double clip = a.max_norm > 0 ? fmin(1.0, a.max_norm / (progress->norm + 1e-6)) : 1;
    const bool torch = a.convention == ADAMW_TORCH;
    f[SCALE] = (float)(progress->unscale * clip);
    f[BETA1] = (float)a.beta1;
    f[REST1] = (float)(1 - a.beta1);
    f[BETA2] = (float)a.beta2;
    f[REST2] = (float)(1 - a.beta2);
    f[BEFORE] = torch ? (float)(1 - lr * a.weight_decay) : 1.0f;
    f[STEP] = (float)(torch ? lr / correction1 : lr * root2 / correction1);
    f[ROOT] = torch ? (float)root2 : 1.0f;
    f[EPS] = (float)a.eps;
    f[AFTER] = torch ? 0.0f : (float)(lr * a.weight_decay);
}

static __device__ __forceinline__ void update_one(float &p, float &m, float &v, float g, const float *f) {
    g *= f[SCALE];
    m = m * f[BETA1] + g * f[REST1];
    v = v * f[BETA2] + g * g * f[REST2];
    float x = p * f[BEFORE];
    x -= f[STEP] * m / (sqrtf(v) / f[ROOT] + f[EPS]);
    p = x - x * f[AFTER];
}

struct alignas(16) four {
    float x[4];
};

// FOURS: elements that are taken by four, those before REST; the pointers are aligned then.
__global__ void __launch_bounds__(THREADS)
    update_kernel(float *p, float *m, float *v, const float *grad, const adamw_progress *progress, adamw_args a,
                  int64_t fours, int64_t count) {
    SHARED(float, shared, FACTORS);
    if (!isfinite(progress->norm)) return;
    if (threadIdx.x == 0) factors_make(shared, a, progress);
    BLOCK_SYNC();
    float f[FACTORS];
    for (int i = 0; i < FACTORS; i++) f[i] = shared[i];
    const int64_t work = fours + (count - 4 * fours), stride = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < work; i += stride) {
        if (i >= fours) {
            const int64_t at = 3 * fours + i;
            update_one(p[at], m[at], v[at], grad[at], f);
            continue;
        }
        four P = ((four *)p)[i], M = ((four *)m)[i], V = ((four *)v)[i];
        const four G = ((const four *)grad)[i];
        UNROLL for (int k = 0; k < 4; k++) update_one(P.x[k], M.x[k], V.x[k], G.x[k], f);
        ((four *)p)[i] = P;
        ((four *)m)[i] = M;
        ((four *)v)[i] = V;
    }
}

void adamw_update_cuda(void *param, void *m, void *v, const void *grad, const adamw_progress *progress,
                       const adamw_args *args, int64_t count, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    expect_f32("adamw_update", type);
    const bool whole = ((uintptr_t)param | (uintptr_t)m | (uintptr_t)v | (uintptr_t)grad) % 16 == 0;
    const int64_t fours = whole ? count / 4 : 0;
    LAUNCH(s, "adamw_update", update_kernel, dim3(blocks_of(fours + count - 4 * fours)), dim3(THREADS),
           (float *)param, (float *)m, (float *)v, (const float *)grad, progress, *args, fours, count);
}

// --- the copy that the model computes with ------------------------------------------------------------
template <class T> struct alignas(4 * sizeof(T)) narrow_four {
    T x[4];
};

template <class T>
__global__ void __launch_bounds__(THREADS) narrow_kernel(T *out, const float *param, int64_t fours, int64_t count) {
    const int64_t work = fours + (count - 4 * fours), stride = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < work; i += stride) {
        if (i >= fours) {
            narrow_to(out + 3 * fours + i, param[3 * fours + i]);
            continue;
        }
        const four P = ((const four *)param)[i];
        narrow_four<T> N;
        UNROLL for (int k = 0; k < 4; k++) narrow_to(&N.x[k], P.x[k]);
        ((narrow_four<T> *)out)[i] = N;
    }
}

template <class T> static void narrow_all(void *out, const void *param, int64_t count, stream *s) {
    const int64_t fours = ((uintptr_t)out | (uintptr_t)param) % 16 == 0 ? count / 4 : 0;
    LAUNCH(s, "narrow", (narrow_kernel<T>), dim3(blocks_of(fours + count - 4 * fours)), dim3(THREADS), (T *)out,
           (const float *)param, fours, count);
}

void narrow_cuda(void *out, const void *param, int64_t count, dtype type, stream *s) {
    KERNEL_BEGIN(s);
    if (type == DTYPE_BF16)
        narrow_all<bf16>(out, param, count, s);
    else if (type == DTYPE_F16)
        narrow_all<f16>(out, param, count, s);
    else
        die("narrow: type %s, expected BF16 or F16", dtype_name(type));
}
