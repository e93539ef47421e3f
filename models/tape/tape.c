#include "models/tape/tape.h"
#include "models/tape/tape_private.h"

#include <string.h>

// Nodes, lists and saved structs of one step: a ResNet-50 takes 0.2 MB, a 7B LLaMA under 2 MB.
enum { NODE_BYTES = 8 << 20 };

status tape_init(tape *t, device *real, device *dry, comm *c) {
    *t = (tape){.real = real, .dry = dry, .device = dry, .comm = c};
    space_stack(&t->activations, NULL, 0);
    status rc = space_heap(&t->gradients, NULL, 0);
    return rc ? rc : arena_open(&t->nodes, NODE_BYTES, "the tape");
}

static void release_blocks(tape *t) {
    t->real->release(t->real, t->activation_block);
    t->real->release(t->real, t->gradient_block);
    t->activation_block = t->gradient_block = NULL;
}

void tape_free(tape *t) {
    if (t->real) release_blocks(t);
    space_free(&t->gradients);
    arena_close(&t->nodes);
    *t = (tape){0};
}

tape_size tape_used(const tape *t) {
    return (tape_size){t->activations.high, t->gradients.high};
}

status tape_allocate(tape *t, tape_size size) {
    device *d = t->real;
    release_blocks(t);
    t->device = t->dry;
    status rc = d->take(d, size.activations, "activations", &t->activation_block);
    if (!rc) rc = d->take(d, size.gradients, "gradients of activations", &t->gradient_block);
    if (!rc) {
        space_free(&t->gradients);
        space_stack(&t->activations, t->activation_block, size.activations);
        rc = space_heap(&t->gradients, t->gradient_block, size.gradients);
    }
    if (rc) {
        release_blocks(t); // both or none: a tape with one block would write to made-up addresses
        return rc;
    }
    t->device = t->real;
    return STATUS_OK;
}

void tape_begin(tape *t, bool record) {
    t->nodes.used = 0;
    t->activations.used = 0;
    t->activations.full = false;
    space_clear(&t->gradients);
    t->device = t->activation_block ? t->real : t->dry;
    t->recording = record;
    t->replaying = false;
    t->last = NULL;
    t->draws = 0;
}

status tape_failed(tape *t) {
    if (t->gradients.failed) return t->gradients.failed;
    if (t->activations.full || t->gradients.full)
        return status_fail(STATUS_MEMORY,
                           "the step needs more device memory than planned (activations %zu of %zu "
                           "bytes, gradients %zu of %zu): this batch is larger than the largest",
                           t->activations.high, t->activations.capacity, t->gradients.high,
                           t->gradients.capacity);
    return device_failed(t->real);
}

// After a failure nothing may be written any more: ops go on with kernels that do nothing.
static void check_space(tape *t) {
    if (t->activations.full || t->gradients.full || t->gradients.failed) t->device = t->dry;
}

void *tape_keep(tape *t, size_t bytes) {
    return arena_take(&t->nodes, bytes);
}

tensor *tape_tensor_of(tape *t, dtype type, int rank, const int64_t *dim) {
    tensor *x = tape_keep(t, sizeof *x);
    x->type = type;
    x->rank = rank;
    for (int i = 0; i < rank; i++) x->dim[i] = dim[i];
    x->data = space_push(&t->activations, tensor_bytes(x));
    check_space(t);
    return x;
}

tensor *tape_tensor(tape *t, int rank, const int64_t *dim) {
    return tape_tensor_of(t, t->device->type, rank, dim);
}

tensor *tape_view(tape *t, tensor *x, int rank, const int64_t *dim) {
    tensor *view = tape_keep(t, sizeof *view);
    *view = *x;
    view->rank = rank;
    for (int i = 0; i < rank; i++) view->dim[i] = dim[i];
    if (tensor_count(view) != tensor_count(x)) {
        char have[SHAPE_TEXT_SIZE], want[SHAPE_TEXT_SIZE];
        die("tape_view: %s cannot be seen as %s", shape_text(have, x->rank, x->dim),
            shape_text(want, rank, dim));
    }
    return view;
}

size_t tape_scratch_begin(tape *t) {
    return t->activations.used;
}

void *tape_scratch(tape *t, size_t bytes) {
    void *scratch = bytes ? space_push(&t->activations, bytes) : NULL;
    check_space(t);
    return scratch;
}

void tape_scratch_end(tape *t, size_t mark) {
    t->activations.used = mark;
}

static bool any_gradient(tensor *const *in, int ins) {
    for (int i = 0; i < ins; i++)
        if (in[i] && in[i]->grad) return true;
    return false;
}

bool tape_wants(const tape *t, tensor *const *in, int ins) {
    return t->recording && any_gradient(in, ins);
}

static tensor **keep_list(tape *t, tensor *const *list, int count) {
    tensor **kept = tape_keep(t, (size_t)count * sizeof *kept);
    if (count) memcpy(kept, list, (size_t)count * sizeof *kept);
    return kept;
}

// Counts recorded calls that use a parameter. A region counts in its first run, not in its second.
static void count_uses(tape *t, tensor *const *in, int ins, int change) {
    for (int i = 0; i < ins; i++) {
        gradient *g = in[i] ? in[i]->grad : NULL;
        if (!g || g->owned) continue;
        g->uses += change;
        if (g->uses == 0 && t->parameter_ready) t->parameter_ready(t->ready_context, g);
    }
}

void tape_record(tape *t, const char *op, tape_rule rule, void *saved, tensor *const *out, int outs,
                 tensor *const *in, int ins) {
    if (!any_gradient(in, ins)) return;
    t->wanted = true;
    if (t->counting) count_uses(t, in, ins, 1);
    if (t->recording) tape_record_always(t, op, rule, saved, out, outs, in, ins);
}

tape_node *tape_record_always(tape *t, const char *op, tape_rule rule, void *saved,
                              tensor *const *out, int outs, tensor *const *in, int ins) {
    tape_node *node = tape_keep(t, sizeof *node);
    *node = (tape_node){.op = op, .rule = rule, .saved = saved, .ins = ins, .outs = outs};
    node->in = keep_list(t, in, ins);
    node->out = keep_list(t, out, outs);
    node->previous = t->last;
    t->last = node;
    for (int i = 0; i < outs; i++) tape_want_gradient(t, out[i]);
    if (!t->replaying) count_uses(t, in, ins, 1);
    return node;
}

void tape_want_gradient(tape *t, tensor *x) {
    x->grad = tape_keep(t, sizeof *x->grad);
    *x->grad = (gradient){.type = x->type, .owned = true};
}

static size_t gradient_bytes(const tensor *x) {
    return (size_t)tensor_count(x) * dtype_size(x->grad->type);
}

void *tape_weight_gradient(tape *t, tensor *x, int *accumulate) {
    *accumulate = 0;
    if (!x || !x->grad) return NULL;
    gradient *g = x->grad;
    if (g->owned && !g->data) g->data = space_take(&t->gradients, gradient_bytes(x));
    check_space(t);
    *accumulate = g->written;
    g->written = true;
    return g->data;
}

void *tape_gradient(tape *t, tensor *x, int *accumulate) {
    if (x && x->grad && x->grad->type != x->type)
        die("tape_gradient: a rule writes %s where the gradient is %s: its op takes no weights there", dtype_name(x->type),
            dtype_name(x->grad->type));
    return tape_weight_gradient(t, x, accumulate);
}

const void *tape_output_gradient(const tensor *y) {
    return y->grad->data;
}

rng_key tape_draw(tape *t) {
    // The site is the call's place in the step, which is the same on every rank and in every run.
    return (rng_key){t->seed, rng_site("tape") + 0x9e3779b9u * t->draws++, t->step};
}

static bool any_output_written(const tape_node *node) {
    for (int i = 0; i < node->outs; i++)
        if (node->out[i]->grad->written) return true;
    return false;
}

static void run_rule(tape *t, const tape_node *node) {
    for (int i = 0; i < node->outs; i++) {
        tensor *y = node->out[i];
        if (y->grad->written) continue;
        int accumulate; // this output does not matter to the loss, others of the node do
        void *dy = tape_weight_gradient(t, y, &accumulate);
        t->device->zero(t->device, dy, gradient_bytes(y));
    }
    node->rule(t, node);
    if (t->observe) t->observe(t->observe_context, t, node);
    for (int i = 0; i < node->outs; i++) {
        gradient *g = node->out[i]->grad;
        space_give(&t->gradients, g->data, gradient_bytes(node->out[i]));
        g->data = NULL;
    }
}

void tape_run_back(tape *t, const tape_node *until) {
    for (tape_node *node = t->last; node != until; node = node->previous) {
        if (node->always || any_output_written(node)) run_rule(t, node);
        count_uses(t, node->in, node->ins, -1);
    }
    t->last = (tape_node *)until;
}

static void *loss_gradient(tape *t, tensor *loss) {
    if (tensor_count(loss) != 1)
        die("tape_backward: the loss has %lld elements, expected 1", (long long)tensor_count(loss));
    int accumulate;
    // NULL: nothing that leads to the loss wants a gradient.
    return tape_gradient(t, loss, &accumulate);
}

static void run_all_back(tape *t) {
    bool recording = t->recording;
    t->recording = false; // rules leave no nodes; a region switches it on for its inside
    tape_run_back(t, NULL);
    t->recording = recording;
}

void tape_backward(tape *t, tensor *loss, float scale) {
    void *dloss = loss_gradient(t, loss);
    double wide = (double)scale;
    if (dloss && loss->grad->type == DTYPE_F64)
        t->device->upload(t->device, dloss, &wide, sizeof wide);
    else if (dloss)
        t->device->upload(t->device, dloss, &scale, sizeof scale);
    run_all_back(t);
}

void tape_backward_from(tape *t, tensor *loss, const void *seed) {
    void *dloss = loss_gradient(t, loss);
    if (dloss) t->device->copy(t->device, dloss, seed, dtype_size(loss->grad->type));
    run_all_back(t);
}
