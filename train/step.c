#include "train/step.h"
#include "core/log.h"
#include "train/buckets.h"

#include <string.h>

// As PyTorch's: large enough for full bandwidth, small enough that the first sum starts early.
enum { BUCKET_BYTES = 25 << 20 };
enum { STEP_GRAPHS = 8 }; // kinds of batches that are worth recording: the usual one and the epoch's last

static status open_optimizer(run *r) {
    const config *c = r->config;
    bool hf = !strcmp(config_text(c, "optim.epsilon"), "transformers");
    adamw_options options = adamw_defaults(hf ? ADAMW_TRANSFORMERS : ADAMW_TORCH);
    options.beta1 = config_float(c, "optim.beta1");
    options.beta2 = config_float(c, "optim.beta2");
    options.eps = config_float(c, "optim.eps");
    options.max_norm = config_float(c, "optim.max_norm");
    status rc = adamw_init(&r->optimizer, r->device, r->params.trainable, options);
    // Half precision has 5 bits of exponent: small gradients would be zero (Micikevicius et al. 2018).
    if (!rc && r->device->type == DTYPE_F16) adamw_set_scaler(&r->optimizer, r->device, scaler_new());
    return rc;
}

static status open_buckets(run *r) {
    if (r->comm->size == 1) return STATUS_OK;
    status rc = buckets_open(&r->buckets, &r->params, &r->tape, BUCKET_BYTES);
    r->tape.parameter_ready = buckets_ready;
    r->tape.ready_context = r->buckets;
    return rc;
}

status step_open(run *r) {
    status rc = open_optimizer(r);
    if (!rc) rc = open_buckets(r);
    if (!rc) rc = mem_new(&r->graphs, STEP_GRAPHS, "recorded steps");
    if (!rc) rc = r->device->take(r->device, sizeof *r->result, "a step's result", (void **)&r->result);
    return rc;
}

void step_close(run *r) {
    device *d = r->device;
    for (int i = 0; r->graphs && i < STEP_GRAPHS; i++)
        if (r->graphs[i].graph) d->graph_close(d, r->graphs[i].graph);
    mem_free(r->graphs);
    d->release(d, r->result);
    adamw_free(&r->optimizer, d);
    r->graphs = NULL;
    r->result = NULL;
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

// The loss and its parts, summed over pieces; behind the last one over ranks.
static void keep_values(run *r, const tensor *loss, bool first, bool last) {
    device *d = r->device;
    const size_t size = dtype_size(loss->type);
    char *to = (char *)r->result->values;
    int count = 0;
    for (; !count || (r->stage->parts && r->stage->parts[count - 1]); count++) {
        const void *value = count ? r->part[count - 1]->data : loss->data;
        char *sum = to + (size_t)count * size;
        if (first)
            d->copy(d, sum, value, size);
        else
            d->ops->add_forward(sum, sum, value, 1, loss->type, d->stream);
    }
    if (last) r->comm->all_reduce_sum(r->comm, to, count, loss->type, d);
}

static int64_t pieces_of(const run *r) { return r->stage->pieces ? r->stage->pieces(r) : 1; }

// Forward and backward of one piece. Sums over ranks may start in the last one's backward pass.
static void launch_piece(run *r, bool first, bool last) {
    tape *t = &r->tape;
    adamw_progress *state = r->optimizer.progress;
    tape_begin(t, true);
    t->training = true;
    t->step = (uint32_t)r->step;
    t->parameter_ready = last && r->buckets ? buckets_ready : NULL;
    tensor *loss = r->stage->loss(r);
    bool wide = loss->type == DTYPE_F64;
    keep_values(r, loss, first, last);
    if (r->buckets && last) buckets_begin(r->buckets);
    tape_backward_from(t, loss, wide ? (void *)&state->scaler.scale : (void *)&state->seed);
}

// All of a step that may be recorded: nothing in it touches host memory, unless there are several
// pieces. Leaves its result in r->result.
static void launch_step(run *r) {
    device *d = r->device;
    adamw_progress *state = r->optimizer.progress;
    const int64_t pieces = pieces_of(r);
    params_begin(&r->params);
    for (int64_t i = 0; i < pieces; i++) {
        if (i) r->stage->piece(r, i);
        launch_piece(r, i == 0, i == pieces - 1);
    }
    int slices = touched_slices(r);
    if (r->buckets) buckets_finish(r->buckets, r->slices, slices);
    adamw_step(&r->optimizer, d, r->params.values, r->params.gradients, r->slices, slices);
    if (r->params.narrow)
        d->optim->narrow(r->params.narrow, r->params.values, r->params.trainable, d->type, d->stream);
    d->copy(d, &r->result->norm, &state->norm, sizeof state->norm);
    d->copy(d, &r->result->scale, &state->scaler.scale, sizeof state->scaler.scale);
}

// --- recorded steps ------------------------------------------------------------------------------------
// The entry of batches like this step's; NULL: this kind is not recorded.
static step_graph *graph_of(run *r) {
    if (!r->device->graph_begin || pieces_of(r) > 1 || !config_bool(r->config, "run.graphs")) return NULL;
    for (int i = 0; i < STEP_GRAPHS; i++) {
        step_graph *g = &r->graphs[i];
        if (!g->seen) *g = (step_graph){.samples = r->samples, .own_samples = r->own_samples, .kind = r->kind};
        if (g->samples == r->samples && g->own_samples == r->own_samples && g->kind == r->kind) return g;
    }
    return NULL; // more kinds than are worth it
}

static void record(run *r, step_graph *g) {
    device *d = r->device;
    d->graph_begin(d);
    launch_step(r);
    if (!d->graph_end(d, &g->graph)) {
        log_info("step %lld is recorded, and replayed for steps like it", (long long)r->step + 1);
        return;
    }
    log_warn("steps are launched one by one: %s (run.graphs=false says so at once)", status_text());
    g->refused = true;
}

static void launch_or_replay(run *r) {
    device *d = r->device;
    step_graph *g = graph_of(r);
    bool first = g && g->seen++ == 0; // runs as it is: libraries choose their algorithms in it
    if (g && !first && !g->refused) {
        d->graph_step(d, (uint32_t)r->step, r->tape.first_sample);
        if (!g->graph) record(r, g);
    }
    if (g && g->graph)
        d->graph_run(d, g->graph);
    else
        launch_step(r); // a refused recording has done nothing
}

status step_load(run *r) { return r->stage->batch(r); }

status step_launch(run *r, double lr) {
    device *d = r->device;
    adamw_set_lr(&r->optimizer, d, lr);
    launch_or_replay(r);
    r->step++;
    d->read_begin(d, (int)(r->step % DEVICE_READS), r->result, sizeof *r->result);
    status rc = tape_failed(&r->tape);
    return rc ? rc : comm_failed(r->comm);
}

void step_read(run *r, int64_t step, step_result *result) {
    r->device->read_end(r->device, (int)(step % DEVICE_READS), result, sizeof *result);
}

double step_value(const run *r, const step_result *result, int i) {
    return element_get(result->values, i, dtype_wide(r->device->type));
}
