#include "train/ranks.h"

// Above every signal's number.
enum { FAILED = 1 << 16 };

bool ranks_lead(const run *r) { return r->comm->rank == 0; }

status ranks_agree_value(comm *c, status rc, int *value) {
    int most = c->agree_max(c, rc ? FAILED : *value);
    if (most < FAILED) {
        *value = most;
        return STATUS_OK;
    }
    // The lowest rank that failed has the largest of these.
    int first = c->size - c->agree_max(c, rc ? c->size - c->rank : 0);
    return c->rank == first ? rc : STATUS_ELSEWHERE;
}

status ranks_agree(comm *c, status rc) {
    int ignored = 0;
    return ranks_agree_value(c, rc, &ignored);
}

status ranks_sum(comm *c, device *d, float *numbers, int64_t count) {
    void *block;
    size_t bytes = (size_t)count * sizeof *numbers;
    if (c->size == 1) return STATUS_OK;
    status rc = d->take(d, bytes, "numbers of all ranks", &block);
    if (rc) return rc;
    d->upload(d, block, numbers, bytes);
    c->all_reduce_sum(c, block, count, DTYPE_F32, d);
    d->download(d, numbers, block, bytes);
    d->release(d, block);
    rc = comm_failed(c);
    return rc ? rc : device_failed(d);
}

static void share(run *r, void *block, size_t bytes) {
    if (bytes) r->comm->broadcast(r->comm, block, bytes, 0, r->device);
}

status ranks_share_weights(run *r) {
    params *p = &r->params;
    device *d = r->device;
    if (r->comm->size == 1) return STATUS_OK;
    share(r, p->values, (size_t)p->trainable * dtype_size(dtype_wide(d->type)));
    share(r, p->narrow, p->narrow ? (size_t)p->trainable * dtype_size(d->type) : 0);
    share(r, p->frozen, p->frozen_bytes);
    share(r, p->buffers, p->buffer_bytes);
    status rc = comm_failed(r->comm);
    return rc ? rc : device_failed(d);
}

// Where the run stands, through device memory: collectives know no other.
static status share_place(run *r) {
    struct place {
        int64_t step;
        best_score best;
        bool resumed;
    } now = {.step = r->step, .best = r->best, .resumed = r->resumed};
    void *block;
    device *d = r->device;
    status rc = d->take(d, sizeof now, "the run's place", &block);
    if (rc) return rc;
    d->upload(d, block, &now, sizeof now);
    share(r, block, sizeof now);
    d->download(d, &now, block, sizeof now);
    d->release(d, block);
    r->step = now.step;
    r->best = now.best;
    r->resumed = now.resumed;
    return STATUS_OK;
}

status ranks_share(run *r) {
    adamw *o = &r->optimizer;
    size_t bytes = (size_t)o->count * dtype_size(o->type);
    if (r->comm->size == 1) return STATUS_OK;
    share(r, o->m, bytes);
    share(r, o->v, bytes);
    share(r, o->progress, sizeof *o->progress);
    status rc = share_place(r);
    return rc ? rc : ranks_share_weights(r);
}
