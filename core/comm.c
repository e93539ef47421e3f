#include "core/comm.h"

#include <stdio.h>
#include <string.h>

static void single_sum(comm *c, void *data, int64_t count, dtype type, device *d) {
    (void)c, (void)data, (void)count, (void)type, (void)d;
}

static void single_finish(comm *c, device *d) {
    (void)c, (void)d;
}

static void single_copy(comm *c, void *recv, const void *send, int64_t count, dtype type,
                        device *d) {
    (void)c;
    if (recv != send) d->copy(d, recv, send, (size_t)count * dtype_size(type));
}

static void single_broadcast(comm *c, void *data, size_t bytes, int root, device *d) {
    (void)c, (void)data, (void)bytes, (void)root, (void)d;
}

static void single_barrier(comm *c) {
    (void)c;
}

static int single_agree_max(comm *c, int value) {
    (void)c;
    return value;
}

static void single_close(comm *c) {
    mem_free(c);
}

status comm_open_single(comm **out) {
    status rc = mem_new(out, 1, "a communicator");
    if (rc) return rc;
    **out = (comm){
        .name = "single",
        .size = 1,
        .all_reduce_sum = single_sum,
        .all_reduce_start = single_sum,
        .all_reduce_finish = single_finish,
        .all_gather = single_copy,
        .reduce_scatter = single_copy,
        .broadcast = single_broadcast,
        .barrier = single_barrier,
        .agree_max = single_agree_max,
        .abort = single_barrier,
        .close = single_close,
    };
    return STATUS_OK;
}

void comm_close(comm *c) {
    if (c) c->close(c);
}

void comm_fail(comm *c, const char *operation, const char *reason) {
    if (c->failed) return;
    c->failed = STATUS_DEVICE;
    snprintf(c->text, sizeof c->text, "%s %lld, rank %d of %d: %s", operation,
             (long long)c->sequence, c->rank, c->size, reason);
}

status comm_failed(comm *c) {
    return c->failed ? status_carry(c->failed, c->text) : STATUS_OK;
}

void comm_abort(comm *c, const char *text) {
    if (c->size == 1) return;
    fprintf(stderr, "radialog: rank %d of %d: %s\n", c->rank, c->size, text);
    fflush(NULL);
    c->abort(c);
}

int64_t comm_share(int64_t n, int rank, int size, int64_t *first) {
    int64_t each = n / size, more = n % size;
    if (first) *first = rank * each + (rank < more ? rank : more);
    return each + (rank < more);
}
