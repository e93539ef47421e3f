// AdamW with global-norm clipping (Loshchilov & Hutter 2019) over slices of flat blocks.
// Parameters, gradients and the two moments are parallel blocks with equal offsets. It knows no
// tape and no model; the training loop hands it slices. A step only launches: no allocation, no
// host read.
//
// One count of updates serves all slices. torch counts per parameter, which differs only where a
// parameter gets no gradient in some step; such a parameter is left out of that step's slices, its
// value and moments stay, and its bias correction afterwards is that of the common count.
#pragma once
#include "optim/kernels.h"

typedef struct optim_slice {
    int64_t offset, count; // elements of the flat blocks
    double lr_scale;       // multiplies the step's lr
    double weight_decay;
} optim_slice;

typedef struct adamw_options {
    double beta1, beta2, eps;
    adamw_convention convention;
    double max_norm; // of all slices together, as torch's clip_grad_norm_; 0: no clipping
} adamw_options;

typedef struct adamw {
    adamw_options options;
    int64_t count;   // elements of each flat block
    dtype type;      // of all flat blocks: dtype_wide of the device's type
    void *m, *v;     // (count) on the device: what a checkpoint saves beside adamw_steps
    double *partial; // (blocks) on the device
    int64_t blocks;
    adamw_progress *progress; // on the device
} adamw;

// Defaults of torch.optim.AdamW (0.9, 0.999, 1e-8, no clipping) or transformers.AdamW (eps 1e-6).
adamw_options adamw_defaults(adamw_convention convention);

// Moments are zero and no update has been done. USAGE if an option is out of range. D->optim must
// be set. After a failure O holds nothing; adamw_free is allowed.
status adamw_init(adamw *o, device *d, int64_t count, adamw_options options);
void adamw_free(adamw *o, device *d);

// One update of PARAMS (count) from GRADS (count), both of O->type on the device. SLICES are
// ascending and disjoint; what they leave out stays as it is and does not count in the norm. If the
// norm is not finite, parameters, moments and the count of updates stay as they are. Gradients hold the
// loss scale (1 unless set) times the loss's. The rate is the one that adamw_set_lr has set.
void adamw_step(adamw *o, device *d, void *params, const void *grads, const optim_slice *slices,
                int n);
// The rate of the steps from now on.
void adamw_set_lr(adamw *o, device *d, double lr);

// Waits for the last step and reads its norm (before clipping); not finite: the step was skipped.
double adamw_norm(const adamw *o, device *d);
// Waits and reads the number of updates done; and sets it, when a run is resumed.
int64_t adamw_steps(const adamw *o, device *d);
void adamw_set_steps(adamw *o, device *d, int64_t steps);
// The loss scale of the next step: read (waits) and set. scaler_none after adamw_init.
scaler adamw_scaler(const adamw *o, device *d);
void adamw_set_scaler(adamw *o, device *d, scaler s);
