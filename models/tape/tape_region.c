// Regions: parts of a model of which only the outputs stay in memory.
//
// In inference a region is what keeps a deep network's memory at one block's size. In training with
// checkpointing on (Chen et al. 2016, "Training deep nets with sublinear memory cost") the inside
// is run again in the backward pass; the draw counter is put back, so dropout repeats exactly.
#include "models/tape/tape_private.h"

#include <string.h>

typedef struct region {
    tape_body body;
    const void *context;
    uint32_t draws; // the counter when the region began
} region;

// Copies BYTES down the stack. Devices may not copy between overlapping ranges, so it goes in
// pieces that are no longer than the distance.
static void move_down(tape *t, char *to, const char *from, size_t bytes) {
    size_t distance = (size_t)(from - to);
    if (!distance) return;
    for (size_t done = 0; done < bytes; done += distance) {
        size_t count = bytes - done < distance ? bytes - done : distance;
        t->device->copy(t->device, to + done, from + done, count);
    }
}

// Gives back everything above MARK but the outputs, which move down to it in the order of their
// addresses (so that none overwrites another).
static void keep_outputs(tape *t, size_t mark, tensor **out, int outs) {
    bool moved[16] = {0};
    if (outs > 16) die("tape_region: %d outputs, at most 16", outs);
    t->activations.used = mark;
    for (int n = 0; n < outs; n++) {
        int lowest = -1;
        for (int i = 0; i < outs; i++)
            if (!moved[i] && (lowest < 0 || (char *)out[i]->data < (char *)out[lowest]->data))
                lowest = i;
        moved[lowest] = true;
        tensor *y = out[lowest];
        // An input or parameter that is passed through stays where it is.
        if (space_offset(&t->activations, y->data) < mark ||
            space_offset(&t->activations, y->data) >= t->activations.high)
            continue;
        char *from = y->data;
        y->data = space_push(&t->activations, tensor_bytes(y));
        move_down(t, y->data, from, tensor_bytes(y));
    }
}

static void region_backward(tape *t, const tape_node *node) {
    const region *r = node->saved;
    const tape_node *outer = t->last;
    size_t mark = t->activations.used;
    uint32_t draws = t->draws;
    bool replaying = t->replaying;
    tensor **again = tape_keep(t, (size_t)node->outs * sizeof *again);

    t->draws = r->draws;
    t->recording = t->replaying = true;
    r->body(t, r->context, again, node->in);
    t->recording = false;
    for (int i = 0; i < node->outs; i++) {
        int accumulate;
        void *dy = tape_gradient(t, again[i], &accumulate);
        if (!dy) continue;
        if (accumulate) die("tape_region: one output of the region is another's view");
        t->device->copy(t->device, dy, tape_output_gradient(node->out[i]), tensor_bytes(again[i]));
    }
    tape_run_back(t, outer);

    t->replaying = replaying;
    t->draws = draws;
    t->activations.used = mark;
}

void tape_checkpointing(tape *t, bool on) {
    t->checkpointing = on;
}

void tape_region(tape *t, tape_body body, const void *context, tensor **out, int outs,
                 tensor *const *in, int ins) {
    bool recording = t->recording, counting = t->counting;
    if (recording && !t->checkpointing) {
        body(t, context, out, in);
        return;
    }
    size_t mark = t->activations.used;
    region *r = tape_keep(t, sizeof *r);
    *r = (region){body, context, t->draws};
    t->recording = false;
    t->counting = counting || recording;
    body(t, context, out, in);
    t->recording = recording;
    t->counting = counting;
    if (!t->activations.full) keep_outputs(t, mark, out, outs);
    // Parameters inside may want a gradient even where no input does.
    if (recording) tape_record_always(t, "region", region_backward, r, out, outs, in, ins);
}
