// Lists of records, shuffled and cut. See order.h.
#include "data/order.h"
#include "core/comm.h"
#include "core/memory.h"
#include "core/rng.h"

struct batch_order {
    order_options o;
    const int64_t *records; // (count), borrowed
    int64_t count;
    uint32_t *place; // (count): a permutation of epoch PLACE_EPOCH; NULL: not shuffled
    int64_t place_epoch;
};

status order_list(int64_t **records, int64_t *count, const dataset *set, int split, int need,
                  int64_t limit) {
    int64_t begin = dataset_split_begin(set, split), all = dataset_split_count(set, split), n = 0;
    *count = 0;
    status rc = mem_new(records, all, "a list of records");
    if (rc) return rc;
    for (int64_t i = begin; i < begin + all && (!limit || n < limit); i++)
        if (need < 0 || dataset_has_text(set, i, (record_text)need)) (*records)[n++] = i;
    *count = n;
    return STATUS_OK;
}

static status check_count(const order_options *o, int64_t count) {
    if (!count) return status_fail(STATUS_FORMAT, "there is no record to make batches of");
    if (o->drop_last && count < o->batch)
        return status_fail(
            STATUS_FORMAT,
            "%lld records are fewer than a batch of %lld, and smaller batches are left "
            "out; make train.batch smaller",
            (long long)count, (long long)o->batch);
    return STATUS_OK;
}

status order_open(batch_order **out, const int64_t *records, int64_t count,
                  const order_options *options) {
    const order_options *o = options;
    batch_order *r = NULL;
    *out = NULL;
    if (o->batch < 1 || o->rank < 0 || o->rank >= o->ranks || count < 0 || count > UINT32_MAX)
        die("order: batch %lld of %lld records, rank %d of %d", (long long)o->batch,
            (long long)count, o->rank, o->ranks);
    status rc = check_count(o, count);
    if (!rc) rc = mem_new(&r, 1, "an order of records");
    if (rc) return rc;
    r->o = *o;
    r->records = records;
    r->count = count;
    r->place_epoch = -1;
    if (o->shuffle) rc = mem_new(&r->place, count, "an order of records");
    if (rc)
        order_close(r);
    else
        *out = r;
    return rc;
}

void order_close(batch_order *o) {
    if (!o) return;
    mem_free(o->place);
    mem_free(o);
}

int64_t order_steps_per_epoch(const batch_order *o) {
    int64_t whole = o->count / o->o.batch;
    return whole + (!o->o.drop_last && o->count % o->o.batch);
}

int64_t order_most(const batch_order *o) {
    return o->count < o->o.batch ? o->count : o->o.batch;
}

static void shuffle_epoch(batch_order *o, int64_t epoch) {
    if (!o->place || o->place_epoch == epoch) return;
    rng_key key = {o->o.seed, rng_site("order"), (uint32_t)epoch};
    rng_shuffle(key, o->place, (uint32_t)o->count);
    o->place_epoch = epoch;
}

void order_batch(order_step *out, int64_t *record, batch_order *o, int64_t step) {
    if (step < 0) die("order: step %lld", (long long)step);
    order_step s = {.step = step, .epoch = step / order_steps_per_epoch(o)};
    s.first_sample = step % order_steps_per_epoch(o) * o->o.batch;
    int64_t left = o->count - s.first_sample;
    s.global_count = left < o->o.batch ? left : o->o.batch;
    s.count = comm_share(s.global_count, o->o.rank, o->o.ranks, &s.first);
    shuffle_epoch(o, s.epoch);
    for (int64_t i = 0; i < s.global_count; i++) {
        int64_t place = s.first_sample + i;
        record[i] = o->records[o->place ? o->place[place] : place];
    }
    *out = s;
}
