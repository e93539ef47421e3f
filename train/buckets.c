#include "train/buckets.h"

#include <stddef.h>

typedef struct bucket {
    int64_t begin, end; // elements of the flat block of gradients
    int parameters, ready;
    bool started;
} bucket;

struct buckets {
    const params *params;
    const tape *tape;
    bucket *item;
    int count;
};

static bool trains(const param *q) { return q->value.grad != NULL; }

// Parameters stand in the block in the order of their declaration.
static void divide(buckets *b, int64_t least) {
    const params *p = b->params;
    bucket *now = NULL;
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (!trains(q)) continue;
        if (!now || now->end - now->begin >= least) {
            now = &b->item[b->count++];
            now->begin = q->offset;
        }
        now->end = q->offset + param_extent(q);
        now->parameters++;
    }
}

status buckets_open(buckets **out, const params *p, const tape *t, size_t bytes) {
    buckets *b;
    *out = NULL;
    status rc = mem_new(&b, 1, "buckets of gradients");
    if (!rc) rc = mem_new(&b->item, p->count, "buckets of gradients");
    if (rc) {
        mem_free(b);
        return rc;
    }
    b->params = p;
    b->tape = t;
    divide(b, (int64_t)(bytes / dtype_size(dtype_wide(p->device->type))));
    *out = b;
    return STATUS_OK;
}

void buckets_close(buckets *b) {
    if (b) mem_free(b->item);
    mem_free(b);
}

void buckets_begin(buckets *b) {
    for (int i = 0; i < b->count; i++) b->item[i].ready = 0, b->item[i].started = false;
}

static void start(buckets *b, int64_t begin, int64_t end) {
    device *d = b->tape->device;
    comm *c = b->tape->comm;
    dtype type = dtype_wide(d->type);
    char *block = (char *)b->params->gradients + (size_t)begin * dtype_size(type);
    c->all_reduce_start(c, block, end - begin, type, d);
}

static bucket *bucket_of(buckets *b, int64_t offset) {
    int low = 0, high = b->count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (b->item[middle].begin <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return &b->item[low];
}

void buckets_ready(void *context, gradient *g) {
    buckets *b = context;
    const param *q = (const param *)((char *)g - offsetof(param, grad));
    bucket *own = bucket_of(b, q->offset);
    // Used but not led to by the loss: its gradient is an old one, and the bucket waits for the end.
    if (!g->written || ++own->ready < own->parameters || own->started) return;
    start(b, own->begin, own->end);
    own->started = true;
}

void buckets_finish(buckets *b, const optim_slice *slices, int n) {
    for (int i = 0; i < b->count; i++) {
        const bucket *k = &b->item[i];
        for (int j = 0; j < n && !k->started; j++) {
            int64_t begin = slices[j].offset, end = begin + slices[j].count;
            if (begin < k->begin) begin = k->begin;
            if (end > k->end) end = k->end;
            if (begin < end) start(b, begin, end);
        }
    }
    b->tape->comm->all_reduce_finish(b->tape->comm, b->tape->device);
}
