#include "train/ranks.h"
#include "core/checksum.h"

#include <string.h>

// Above every signal's number.
enum { FAILED = 1 << 16 };

bool ranks_lead(const run *r) { return r->comm->rank == 0; }

status ranks_agree_value(comm *c, status rc, int *value) {
    int most = c->agree_max(c, rc ? FAILED : *value);
    if (most < FAILED) {
        *value = most;
        return STATUS_OK;
    }
    // The lowest rank that has a reason has the largest of these; who was told before of another's has none.
    int first = c->size - c->agree_max(c, rc && rc != STATUS_ELSEWHERE ? c->size - c->rank : 0);
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

// --- the same beginning --------------------------------------------------------------------------------
static bool is_same(comm *c, uint32_t value) {
    int own = (int)(value & 0x7fffffff), most = c->agree_max(c, own), least = -c->agree_max(c, -own);
    return most == least;
}

// What may differ from machine to machine. Rank 0's weights go to all, data and vocabularies are compared.
static bool is_own(const char *path) {
    static const char *const own[] = {"run.dir",       "run.threads",      "data.shards",
                                      "data.threads",  "data.instruct",    "data.embeddings",
                                      "model.init",    "model.encoder",    "model.vocabulary"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(path, own[i])) return true;
    return false;
}

static status agree_key(comm *c, const config *all, int i, uint32_t *sum) {
    buffer text = {0};
    status rc = STATUS_OK;
    const char *path = config_print(all, i, &text);
    uint32_t own = is_own(path) ? 0 : checksum_crc32(0, text.data, text.length);
    if (sum)
        *sum = checksum_crc32(*sum, &own, sizeof own);
    else if (!is_same(c, own))
        rc = status_fail(STATUS_USAGE, "the ranks were started with different values of %s, rank %d with %.200s: give "
                                       "all the same configuration", path, c->rank, text.data);
    buffer_free(&text);
    return rc;
}

status ranks_agree_config(const run *r) {
    comm *c = r->comm;
    const int count = config_count(r->config);
    uint32_t sum = 0;
    status rc = STATUS_OK;
    if (c->size == 1) return STATUS_OK;
    for (int i = 0; i < count; i++) agree_key(c, r->config, i, &sum);
    if (!is_same(c, (uint32_t)count))
        rc = status_fail(STATUS_USAGE, "the ranks are of different versions of radialog: start all with the same");
    else if (!is_same(c, sum))
        for (int i = 0; i < count && !rc; i++) rc = agree_key(c, r->config, i, NULL);
    rc = ranks_agree(c, rc);
    return rc ? rc : comm_failed(c);
}

static status agree_vocabulary(const run *r) {
    const buffer *text = r->stage->vocabulary ? r->stage->vocabulary(r) : NULL;
    if (!text || is_same(r->comm, checksum_crc32(0, text->data, text->length))) return STATUS_OK;
    const char *key = r->stage->vocabulary_file ? "model.tokenizer" : "model.vocabulary";
    return status_fail(STATUS_USAGE, "the ranks read different vocabularies, rank %d %s: give all the same",
                       r->comm->rank, config_text(r->config, key));
}

status ranks_agree_data(const run *r) {
    if (r->comm->size == 1 || !r->data_hash) return STATUS_OK;
    status rc = agree_vocabulary(r);
    if (!is_same(r->comm, checksum_crc32(0, r->data_hash, strlen(r->data_hash))))
        rc = status_fail(STATUS_USAGE, "the ranks read different data: rank %d's are of hash %s; give all the same",
                         r->comm->rank, r->data_hash);
    return ranks_agree(r->comm, rc);
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
