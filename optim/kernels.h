// The one list of optimizer kernels, from which the prototypes, the device tables and the tests'
// checklist come. Kernels take raw pointers, sizes and the device's stream; they know no
// parameters' names and no slices. Called by optim/adamw.c; tests and benchmarks call them bare.
//
//   TYPE   of parameters, gradients and moments: f32, or f64 where the device is double.
#pragma once
#include "core/device.h"
#include "optim/scaler.h"

// Elements per partial sum. The value of a norm depends on it.
enum { OPTIM_SUM_BLOCK = 4096 };

// What an optimizer keeps on the device about its steps, so that no step waits for the host and a step
// that was recorded once (a CUDA graph) reads what changes from step to step.
typedef struct adamw_progress {
    double norm;    // of the last step's gradients, without the loss scale and before clipping
    int64_t steps;  // updates that were done; one with a norm that is not finite is not counted
    double lr;      // of the step at hand
    double unscale; // what the step at hand multiplies gradients by: 1 / its loss scale
    scaler scaler;  // the loss scale of the next step
    float seed;     // the same in single precision: the gradient that a backward pass begins with
} adamw_progress;

typedef enum adamw_convention {
    // torch.optim.AdamW: p *= 1 - lr wd, then p -= lr / bc1 * m / (sqrt(v) / sqrt(bc2) + eps).
    ADAMW_TORCH,
    // transformers.AdamW: p -= lr sqrt(bc2) / bc1 * m / (sqrt(v) + eps), then p -= lr wd p.
    ADAMW_TRANSFORMERS,
} adamw_convention; // bcN = 1 - betaN^t

// In host memory; kernels copy it when they are launched.
typedef struct adamw_args {
    adamw_convention convention;
    double lr_scale; // multiplies progress->lr
    double beta1, beta2, eps, weight_decay;
    double max_norm; // clip to it; 0: do not clip
} adamw_args;

#define OPTIM_KERNELS(X)                                                                           \
    /* partial (blocks): adds the squares of grad's elements [offset, offset + count), each to */  \
    /* partial[element / OPTIM_SUM_BLOCK]; in double, in an order that sizes alone decide */       \
    X(sum_squares,                                                                                 \
      (double *partial, const void *grad, int64_t offset, int64_t count, dtype type, stream *s))   \
    /* unscale = 1 / the loss scale, norm = unscale * sqrt(sum of partial (blocks)); counts a */   \
    /* step if that is finite, and moves the loss scale on (scaler_update) */                      \
    X(norm_finish,                                                                                 \
      (adamw_progress *progress, const double *partial, int64_t blocks, stream *s))                \
    /* param, m, v, grad (count): one update with progress->lr, unscaled, clipped by */            \
    /* progress->norm, t = progress->steps; writes nothing if that norm is not finite */           \
    X(adamw_update,                                                                                \
      (void *param, void *m, void *v, const void *grad, const adamw_progress *progress,            \
       const adamw_args *args, int64_t count, dtype type, stream *s))                              \
    /* out (count) of TYPE, which is not wide, = param (count) in f32, rounded to the nearest: */  \
    /* the copy that the model computes with */                                                    \
    X(narrow, (void *out, const void *param, int64_t count, dtype type, stream *s))

struct optim_kernels {
#define X(name, args) void(*name) args;
    OPTIM_KERNELS(X)
#undef X
};

#define X(name, args) void name##_cpu args;
OPTIM_KERNELS(X)
#undef X

// The CPU's kernels take f32 and f64, so the oracle device uses them too.
extern const struct optim_kernels optim_kernels_cpu;
extern const struct optim_kernels optim_kernels_cuda; // in builds with CUDA
// Kernels that do nothing, for dry runs.
extern const struct optim_kernels optim_kernels_dry;
// The names of all kernels, ended by NULL.
extern const char *const optim_kernel_names[];
