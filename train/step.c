#include "train/step.h"

#include <string.h>

status step_open_optimizer(run *r) {
    const config *c = r->config;
    bool hf = !strcmp(config_text(c, "optim.epsilon"), "transformers");
    adamw_options options = adamw_defaults(hf ? ADAMW_TRANSFORMERS : ADAMW_TORCH);
    options.beta1 = config_float(c, "optim.beta1");
    options.beta2 = config_float(c, "optim.beta2");
    options.eps = config_float(c, "optim.eps");
    options.max_norm = config_float(c, "optim.max_norm");
    return adamw_init(&r->optimizer, r->device, r->params.trainable, options);
}

// The parameters that this step has given a gradient, merged where they touch. torch's optimizers skip
// the others as well.
static int touched_slices(run *r) {
    const double decay = config_float(r->config, "optim.weight_decay");
    int n = 0;
    for (size_t i = 0; i < r->params.count; i++) {
        const param *q = r->params.item[i];
        if (!q->value.grad || !q->grad.written) continue;
        int64_t count = param_extent(q);
        double own_decay = q->decay ? decay : 0;
        optim_slice *last = n ? &r->slices[n - 1] : NULL;
        if (last && last->offset + last->count == q->offset && !(last->weight_decay < own_decay) &&
            !(last->weight_decay > own_decay)) {
            last->count += count;
            continue;
        }
        r->slices[n++] = (optim_slice){q->offset, count, 1, own_decay};
    }
    return n;
}

static void reduce_gradients(run *r, int slices) {
    device *d = r->device;
    dtype type = dtype_wide(d->type);
    for (int i = 0; i < slices; i++) {
        char *block = (char *)r->params.gradients + (size_t)r->slices[i].offset * dtype_size(type);
        r->comm->all_reduce_sum(r->comm, block, r->slices[i].count, type, d);
    }
}

status step_run(run *r, step_result *result, double lr) {
    device *d = r->device;
    status rc = r->stage->batch(r);
    if (rc) return rc;
    tape_begin(&r->tape, true);
    params_begin(&r->params);
    r->tape.training = true;
    r->tape.step = (uint32_t)r->step;
    tensor *loss = r->stage->loss(r);
    d->copy(d, &result->loss, loss->data, dtype_size(loss->type));
    tape_backward(&r->tape, loss, 1);
    int slices = touched_slices(r);
    reduce_gradients(r, slices);
    adamw_set_lr(&r->optimizer, d, lr);
    adamw_step(&r->optimizer, d, r->params.values, r->params.gradients, r->slices, slices);
    if (r->params.narrow)
        d->optim->narrow(r->params.narrow, r->params.values, r->params.trainable, d->type, d->stream);
    d->copy(d, &result->norm, &r->optimizer.progress->norm, sizeof(double));
    r->step++;
    return tape_failed(&r->tape);
}

double step_loss(const run *r, const step_result *result) {
    float narrow;
    if (r->device->type == DTYPE_F64) return result->loss;
    memcpy(&narrow, &result->loss, sizeof narrow);
    return narrow;
}
