#include "train/memory_plan.h"
#include "core/log.h"
#include "train/step.h"

size_t memory_plan_total(const memory_plan *p) {
    size_t sum = 0;
#define X(name, words) sum += p->name;
    MEMORY_PARTS(X)
#undef X
    return sum;
}

// --- the dry run ---------------------------------------------------------------------------------
static status go_through(run *r) {
    buffer ignored = {0};
    double score;
    tape_begin(&r->tape, true);
    params_begin(&r->params);
    r->tape.training = true;
    tensor *loss = r->stage->loss(r);
    if (!loss->grad)
        return status_fail(STATUS_TRAINING,
                           "nothing would train: no trainable parameter leads to the "
                           "loss; check model.train_encoder and the frozen parts");
    tape_backward(&r->tape, loss, 1);
    status rc = r->stage->validate(r, &ignored, &score);
    buffer_free(&ignored);
    return rc;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define X(name, args)                                                                              \
    static size_t name##_none args {                                                               \
        return 0;                                                                                  \
    }
OP_QUERIES(X)
#undef X
#pragma GCC diagnostic pop

// Kernels that do nothing and want no scratch: what is left are the activations themselves, and with norms inside
// convolutions what these put beside them (without it they would not be the calls that a run makes).
static status without_scratch(size_t *activations, run *r) {
    struct device bare = *r->dry, *dry = r->tape.dry;
    struct op_kernels ops = *r->dry->ops;
#define X(name, args) ops.name = name##_none;
    OP_QUERIES(X)
#undef X
    bare.ops = &ops;
    r->tape.dry = &bare;
    status rc = go_through(r);
    r->tape.dry = r->tape.device = dry;
    *activations = tape_used(&r->tape).activations;
    return rc;
}

// The greater of two runs counts, and scratch only adds: the first run does not change the second's
// sizes.
status memory_plan_make(memory_plan *out, run *r) {
    const params *p = &r->params;
    const adamw *o = &r->optimizer;
    const size_t trained = (size_t)p->trainable, wide = dtype_size(dtype_wide(r->device->type));
    *out = (memory_plan){
        .parameters = trained * wide,
        .narrow = p->narrow ? trained * dtype_size(r->device->type) : 0,
        .gradients = trained * wide,
        .moments = 2 * trained * wide,
        .optimizer = (size_t)o->blocks * sizeof *o->partial + sizeof *o->progress,
        .frozen = p->frozen_bytes,
        .buffers = p->buffer_bytes,
        .batch = r->batch_bytes,
        .validation = r->validation_bytes,
        .results = sizeof *r->result,
    };
    status rc = without_scratch(&out->activations, r);
    if (!rc) rc = go_through(r);
    tape_size size = tape_used(&r->tape);
    out->scratch = size.activations - out->activations;
    // The gradients' heap is first-fit: a batch smaller than the largest can need more room than that, for its gaps.
    out->activation_gradients = size.gradients + (r->stage->varies ? size.gradients / 2 : 0);
    return rc;
}

void memory_plan_log(const memory_plan *p) {
    const double mb = 1e-6;
    log_info(
        "memory: %.1f MB in all: %.1f MB parameters, %.1f MB gradients, %.1f MB moments, %.1f MB "
        "activations, %.1f MB gradients of activations",
        mb * (double)memory_plan_total(p),
        mb * (double)(p->parameters + p->narrow + p->frozen + p->buffers),
        mb * (double)p->gradients, mb * (double)p->moments,
        mb * (double)(p->activations + p->scratch), mb * (double)p->activation_gradients);
}
