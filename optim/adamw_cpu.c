// The optimizer's kernels for the CPU, in f32 and f64. See optim/kernels.h for what they do.
//
// Scalars are computed in double and elements in the blocks' type, as torch's single-tensor AdamW
// does. One loop serves both conventions: each sets the factors it does not have to 1 or 0, which
// is exact.
#include "core/bf16.h"
#include "optim/kernels.h"

#include <math.h>

// Below this many elements a team of threads costs more than it saves. It changes no result.
enum { PARALLEL_FROM = 16384 };

// --- the norm ------------------------------------------------------------------------------------

enum { LANES = 16 }; // partial sums inside a block: what the compiler keeps in vector registers

static double lanes_sum(const double lane[LANES]) {
    double sum = 0;
    for (int i = 0; i < LANES; i++) sum += lane[i];
    return sum;
}

// Element i goes to lane i % LANES, so the order of additions depends on COUNT alone.
static double squares_f32(const float *x, int64_t count) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < count; i++, j++) lane[j] += (double)x[i] * (double)x[i];
    return lanes_sum(lane);
}

static double squares_f64(const double *x, int64_t count) {
    double lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * x[i + j];
    for (int j = 0; i < count; i++, j++) lane[j] += x[i] * x[i];
    return lanes_sum(lane);
}

void sum_squares_cpu(double *partial, const void *grad, int64_t offset, int64_t count, dtype type,
                     stream *s) {
    (void)s;
    if (type != DTYPE_F32 && type != DTYPE_F64) die("sum_squares: type %s", dtype_name(type));
    if (count <= 0) return;
    int64_t end = offset + count;
    int64_t first = offset / OPTIM_SUM_BLOCK, last = (end - 1) / OPTIM_SUM_BLOCK;
#pragma omp parallel for schedule(static) if (count >= PARALLEL_FROM)
    for (int64_t b = first; b <= last; b++) {
        int64_t from = b == first ? offset : b * OPTIM_SUM_BLOCK;
        int64_t to = b == last ? end : (b + 1) * OPTIM_SUM_BLOCK;
        partial[b] += type == DTYPE_F32 ? squares_f32((const float *)grad + from, to - from)
                                        : squares_f64((const double *)grad + from, to - from);
    }
}

void norm_finish_cpu(adamw_progress *progress, const double *partial, int64_t blocks, stream *s) {
    (void)s;
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += partial[b];
    progress->unscale = 1 / progress->scaler.scale;
    progress->norm = progress->unscale * sqrt(sum);
    if (isfinite(progress->norm)) progress->steps++;
    scaler_update(&progress->scaler, isfinite(progress->norm));
    progress->seed = (float)progress->scaler.scale;
}

// --- the update ----------------------------------------------------------------------------------

// The update with its scalars worked out:
//     g = grad scale,  m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2,
//     p = before p,    p = p - step m / (sqrt(v) / root + eps),    p = p - after p.
typedef struct factors {
    double scale, beta1, rest1, beta2, rest2;
    double before, step, root, eps, after;
} factors;

static factors factors_make(const adamw_args *a, const adamw_progress *progress) {
    double t = (double)progress->steps;
    double correction1 = 1 - pow(a->beta1, t), root2 = sqrt(1 - pow(a->beta2, t));
    double lr = progress->lr * a->lr_scale;
    double clip = a->max_norm > 0 ? fmin(1, a->max_norm / (progress->norm + 1e-6)) : 1;
    factors f = {
        .scale = progress->unscale * clip,
        .beta1 = a->beta1,
        .rest1 = 1 - a->beta1,
        .beta2 = a->beta2,
        .rest2 = 1 - a->beta2,
        .eps = a->eps,
    };
    if (a->convention == ADAMW_TORCH) {
        f.before = 1 - lr * a->weight_decay;
        f.step = lr / correction1;
        f.root = root2;
        f.after = 0;
    } else {
        f.before = 1;
        f.step = lr * root2 / correction1;
        f.root = 1;
        f.after = lr * a->weight_decay;
    }
    return f;
}

static void update_f32(float *restrict p, float *restrict m, float *restrict v,
                       const float *restrict grad, const factors *f, int64_t count) {
    const float scale = (float)f->scale, beta1 = (float)f->beta1, rest1 = (float)f->rest1;
    const float beta2 = (float)f->beta2, rest2 = (float)f->rest2, before = (float)f->before;
    const float step = (float)f->step, root = (float)f->root, eps = (float)f->eps;
    const float after = (float)f->after;
#pragma omp parallel for simd schedule(static) if (parallel : count >= PARALLEL_FROM)
    for (int64_t i = 0; i < count; i++) {
        float g = grad[i] * scale;
        m[i] = m[i] * beta1 + g * rest1;
        v[i] = v[i] * beta2 + g * g * rest2;
        float x = p[i] * before;
        x -= step * m[i] / (sqrtf(v[i]) / root + eps);
        p[i] = x - x * after;
    }
}

static void update_f64(double *restrict p, double *restrict m, double *restrict v,
                       const double *restrict grad, const factors *f, int64_t count) {
    const factors k = *f;
#pragma omp parallel for simd schedule(static) if (parallel : count >= PARALLEL_FROM)
    for (int64_t i = 0; i < count; i++) {
        double g = grad[i] * k.scale;
        m[i] = m[i] * k.beta1 + g * k.rest1;
        v[i] = v[i] * k.beta2 + g * g * k.rest2;
        double x = p[i] * k.before;
        x -= k.step * m[i] / (sqrt(v[i]) / k.root + k.eps);
        p[i] = x - x * k.after;
    }
}

void adamw_update_cpu(void *param, void *m, void *v, const void *grad,
                      const adamw_progress *progress, const adamw_args *args, int64_t count,
                      dtype type, stream *s) {
    (void)s;
    if (!isfinite(progress->norm)) return;
    factors f = factors_make(args, progress);
    if (type == DTYPE_F32)
        update_f32(param, m, v, grad, &f, count);
    else if (type == DTYPE_F64)
        update_f64(param, m, v, grad, &f, count);
    else
        die("adamw_update: type %s, expected F32 or F64", dtype_name(type));
}

void narrow_cpu(void *out, const void *param, int64_t count, dtype type, stream *s) {
    (void)s;
    if (type != DTYPE_BF16) die("narrow: type %s, expected BF16", dtype_name(type));
    int64_t blocks = (count + OPTIM_SUM_BLOCK - 1) / OPTIM_SUM_BLOCK;
#pragma omp parallel for schedule(static) if (count >= PARALLEL_FROM)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t at = b * OPTIM_SUM_BLOCK, rest = count - at;
        bf16_from_floats((uint16_t *)out + at, (const float *)param + at,
                         rest < OPTIM_SUM_BLOCK ? rest : OPTIM_SUM_BLOCK);
    }
}
