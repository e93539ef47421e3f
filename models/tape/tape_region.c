// Regions: parts of a model of which only the outputs stay in memory.
//
// In inference a region is what keeps a deep network's memory at one block's inside and the blocks'
// outputs. In training with checkpointing on (Chen et al. 2016, "Training deep nets with sublinear
// memory cost") the inside is run again in the backward pass; what draws are keyed by is put back,
// so dropout repeats exactly.
#include "models/tape/tape_private.h"

#include <string.h>

enum { MAX_OUTPUTS = 16, KEPT = -1, OUTSIDE = -2 };

typedef struct region {
    tape_body body;
    const void *context;
    // What the body saw when it first ran.
    uint32_t draws, first_sample;
    bool training;
    int outs; // of the body; the node has the kept ones
    // KEPT: made inside, moved down and kept. OUTSIDE: an input, a parameter or a view of one,
    // which has its own gradient. Else the number of an earlier output whose data and gradient this
    // one shares.
    int place[MAX_OUTPUTS];
} region;

// Copies BYTES down the stack. Devices may not copy between overlapping ranges, so it goes in
// pieces that are no longer than the distance.
static void move_down(tape *t, char *to, const char *from, size_t bytes) {
    size_t distance = (size_t)(from - to);
    for (size_t done = 0; done < bytes; done += distance) {
        size_t count = bytes - done < distance ? bytes - done : distance;
        t->device->copy(t->device, to + done, from + done, count);
    }
}

// Finds each output's place. What the region took lies in the stack from MARK on.
static void find_places(const tape *t, region *r, size_t mark, tensor *const *out) {
    size_t end = t->activations.used;
    for (int i = 0; i < r->outs; i++) {
        size_t offset = space_offset(&t->activations, out[i]->data);
        r->place[i] = offset >= mark && offset < end ? KEPT : OUTSIDE;
        for (int k = 0; k < i && r->place[i] == KEPT; k++)
            if (r->place[k] == KEPT && out[k]->data == out[i]->data) r->place[i] = k;
    }
}

// Gives back everything above MARK but the outputs, which move down to it in the order of their
// addresses (so that none overwrites another). One that would move by less than an eighth of its
// size stays: that many pieces would cost more than the gap does.
static void keep_outputs(tape *t, const region *r, size_t mark, tensor *const *out) {
    bool moved[MAX_OUTPUTS] = {0};
    t->activations.used = mark;
    for (;;) {
        int lowest = -1;
        for (int i = 0; i < r->outs; i++)
            if (!moved[i] && r->place[i] == KEPT &&
                (lowest < 0 || (char *)out[i]->data < (char *)out[lowest]->data))
                lowest = i;
        if (lowest < 0) break;
        moved[lowest] = true;
        tensor *y = out[lowest];
        size_t bytes = tensor_bytes(y), offset = space_offset(&t->activations, y->data);
        if (offset - t->activations.used < bytes / 8) t->activations.used = offset;
        char *from = y->data;
        y->data = space_push(&t->activations, bytes);
        if (y->data != from) move_down(t, y->data, from, bytes);
    }
    for (int i = 0; i < r->outs; i++)
        if (r->place[i] >= 0) out[i]->data = out[r->place[i]]->data;
}

// Runs the body again and hands the kept outputs' gradients to what it makes.
static void region_backward(tape *t, const tape_node *node) {
    const region *r = node->saved;
    const tape_node *outer = t->last;
    const tape now = *t;
    tensor **again = tape_keep(t, (size_t)r->outs * sizeof *again);

    t->draws = r->draws;
    t->first_sample = r->first_sample;
    t->training = r->training;
    t->recording = t->replaying = true;
    r->body(t, r->context, again, node->in);
    t->recording = false;
    for (int i = 0, kept = 0; i < r->outs; i++) {
        if (r->place[i] != KEPT) continue;
        const tensor *y = node->out[kept++];
        int accumulate;
        void *dy = tape_gradient(t, again[i], &accumulate);
        if (accumulate) die("tape_region: the body made other tensors when it ran again");
        if (dy) t->device->copy(t->device, dy, tape_output_gradient(y), tensor_bytes(y));
    }
    tape_run_back(t, outer);

    t->draws = now.draws;
    t->first_sample = now.first_sample;
    t->training = now.training;
    t->replaying = now.replaying;
    t->activations.used = now.activations.used;
}

void tape_checkpointing(tape *t, bool on) {
    t->checkpointing = on;
}

// Makes the backward pass run R again. Outputs from elsewhere keep their own gradient.
static void record_region(tape *t, region *r, tensor **out, tensor *const *in, int ins) {
    tensor *kept[MAX_OUTPUTS];
    int count = 0;
    for (int i = 0; i < r->outs; i++)
        if (r->place[i] == KEPT) kept[count++] = out[i];
    tape_record_always(t, "region", region_backward, r, kept, count, in, ins)->always = true;
    for (int i = 0; i < r->outs; i++)
        if (r->place[i] >= 0) out[i]->grad = out[r->place[i]]->grad;
}

void tape_region(tape *t, tape_body body, const void *context, tensor **out, int outs,
                 tensor *const *in, int ins) {
    bool recording = t->recording, counting = t->counting, wanted = t->wanted;
    if (recording && !t->checkpointing) {
        body(t, context, out, in);
        return;
    }
    if (outs > MAX_OUTPUTS) die("tape_region: %d outputs, at most %d", outs, MAX_OUTPUTS);
    size_t mark = t->activations.used;
    region *r = tape_keep(t, sizeof *r);
    *r = (region){body, context, t->draws, t->first_sample, t->training, outs, {0}};
    t->recording = t->wanted = false;
    // An inner region that is met again while its outer one is replayed has been counted before.
    t->counting = counting || (recording && !t->replaying);
    body(t, context, out, in);
    t->recording = recording;
    t->counting = counting;
    find_places(t, r, mark, out);
    if (!t->activations.full) keep_outputs(t, r, mark, out);
    // Parameters inside may want a gradient even where no input does. If nothing does, all is
    // frozen.
    for (int i = 0; i < ins; i++) t->wanted = t->wanted || (in[i] && in[i]->grad);
    if (recording && t->wanted) record_region(t, r, out, in, ins);
    if (!recording) tape_record(t, "region", region_backward, r, out, outs, in, ins); // only counts
    t->wanted = t->wanted || wanted;
}
