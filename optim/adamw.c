// The optimizer on the host: owns the moments and launches kernels over slices. See adamw.h.
#include "optim/adamw.h"

#include <math.h>

adamw_options adamw_defaults(adamw_convention convention) {
    return (adamw_options){
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = convention == ADAMW_TORCH ? 1e-8 : 1e-6,
        .convention = convention,
    };
}

// Written so that NaN is out of every range.
static status options_check(const adamw_options *a) {
    if (!(a->beta1 >= 0 && a->beta1 < 1) || !(a->beta2 >= 0 && a->beta2 < 1))
        return status_fail(STATUS_USAGE, "AdamW: betas %g and %g must be in [0, 1)", a->beta1,
                           a->beta2);
    if (!(a->eps > 0 && isfinite(a->eps)))
        return status_fail(STATUS_USAGE, "AdamW: eps %g must be above 0", a->eps);
    if (!(a->max_norm >= 0 && isfinite(a->max_norm)))
        return status_fail(STATUS_USAGE, "AdamW: the norm to clip to, %g, must be 0 (off) or more",
                           a->max_norm);
    return STATUS_OK;
}

status adamw_init(adamw *o, device *d, int64_t count, adamw_options options) {
    *o = (adamw){.options = options, .count = count, .type = dtype_wide(d->type)};
    if (!d->optim) die("adamw_init: device %s has no optimizer kernels", d->name);
    if (count <= 0) die("adamw_init: %lld elements", (long long)count);
    status rc = options_check(&options);
    if (rc) return rc;
    o->blocks = (count - 1) / OPTIM_SUM_BLOCK + 1;
    size_t bytes;
    if (!size_multiply((size_t)count, dtype_size(o->type), &bytes))
        return status_fail(STATUS_MEMORY, "AdamW: %lld elements are more than can exist",
                           (long long)count);
    rc = d->take(d, bytes, "first moments", &o->m);
    if (!rc) rc = d->take(d, bytes, "second moments", &o->v);
    if (!rc)
        rc = d->take(d, (size_t)o->blocks * sizeof(double), "sums of gradients",
                     (void **)&o->partial);
    if (!rc) rc = d->take(d, sizeof *o->progress, "the count of steps", (void **)&o->progress);
    if (rc)
        adamw_free(o, d);
    else
        adamw_set_scaler(o, d, scaler_none());
    return rc;
}

void adamw_free(adamw *o, device *d) {
    d->release(d, o->progress);
    d->release(d, o->partial);
    d->release(d, o->v);
    d->release(d, o->m);
    *o = (adamw){0};
}

// Slices that touch and have equal settings are one launch: models give one slice per parameter,
// and most parameters are small. Returns the index behind the run that starts at FIRST, its extent
// in RUN.
static int slices_join(optim_slice *run, const optim_slice *slices, int n, int first,
                       bool ignore_settings) {
    *run = slices[first];
    int i = first + 1;
    for (; i < n; i++) {
        const optim_slice *next = &slices[i];
        if (next->offset != run->offset + run->count) break;
        if (!ignore_settings &&
            (next->lr_scale != run->lr_scale || next->weight_decay != run->weight_decay))
            break;
        run->count += next->count;
    }
    return i;
}

static void slices_expect(const adamw *o, const optim_slice *slices, int n) {
    int64_t end = 0;
    for (int i = 0; i < n; i++) {
        const optim_slice *x = &slices[i];
        if (x->offset < end || x->count < 0 || x->count > o->count - x->offset)
            die("adamw_step: slice %d is [%lld, +%lld), expected ascending, disjoint and within "
                "%lld elements",
                i, (long long)x->offset, (long long)x->count, (long long)o->count);
        end = x->offset + x->count;
    }
}

void adamw_step(adamw *o, device *d, void *params, const void *grads, const optim_slice *slices,
                int n) {
    const struct optim_kernels *k = d->optim;
    const size_t size = dtype_size(o->type);
    optim_slice run;
    slices_expect(o, slices, n);
    d->zero(d, o->partial, (size_t)o->blocks * sizeof(double));
    for (int i = 0; i < n;) {
        i = slices_join(&run, slices, n, i, true);
        k->sum_squares(o->partial, grads, run.offset, run.count, o->type, d->stream);
    }
    k->norm_finish(o->progress, o->partial, o->blocks, d->stream);
    for (int i = 0; i < n;) {
        i = slices_join(&run, slices, n, i, false);
        size_t at = (size_t)run.offset * size;
        adamw_args args = {
            .convention = o->options.convention,
            .lr_scale = run.lr_scale,
            .beta1 = o->options.beta1,
            .beta2 = o->options.beta2,
            .eps = o->options.eps,
            .weight_decay = run.weight_decay,
            .max_norm = o->options.max_norm,
        };
        k->adamw_update((char *)params + at, (char *)o->m + at, (char *)o->v + at,
                        (const char *)grads + at, o->progress, &args, run.count, o->type,
                        d->stream);
    }
}

static adamw_progress progress_read(const adamw *o, device *d) {
    adamw_progress progress = {0};
    d->download(d, &progress, o->progress, sizeof progress);
    return progress;
}

double adamw_norm(const adamw *o, device *d) {
    return progress_read(o, d).norm;
}

int64_t adamw_steps(const adamw *o, device *d) {
    return progress_read(o, d).steps;
}

void adamw_set_steps(adamw *o, device *d, int64_t steps) {
    if (steps < 0) die("adamw_set_steps: %lld steps", (long long)steps);
    d->upload(d, &o->progress->steps, &steps, sizeof steps);
}

void adamw_set_lr(adamw *o, device *d, double lr) {
    d->upload(d, &o->progress->lr, &lr, sizeof lr);
}

scaler adamw_scaler(const adamw *o, device *d) {
    return progress_read(o, d).scaler;
}

void adamw_set_scaler(adamw *o, device *d, scaler s) {
    float seed = (float)s.scale;
    d->upload(d, &o->progress->scaler, &s, sizeof s);
    d->upload(d, &o->progress->seed, &seed, sizeof seed);
}
