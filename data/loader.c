// Reading ahead. See loader.h.
//
// Batches stand in a ring of slots. A thread takes the next record of the slot being filled, under the
// lock; reads, inflates and transforms it without the lock; and counts it off. What a record becomes and
// where it goes depend on its step and place alone, so the number of threads changes nothing but time.
#include "data/loader.h"
#include "core/log.h"
#include "core/memory.h"
#include "data/augment.h"
#include "data/image.h"
#include "data/shard.h"

#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { SLOTS = 4, ERROR_SIZE = 1024 };

typedef struct slot {
    batch b;
    int64_t left; // records not yet in place
    status failed;
    char error[ERROR_SIZE];
} slot;

typedef struct worker {
    loader *loader;
    pthread_t thread;
    bool started;
    pixel_reader *reader;
    uint8_t *square; // (STORED_SIDE, STORED_SIDE)
    uint8_t *crop;   // (crop, crop)
    uint8_t *sized;  // (size, size), before the augmentation turns it
} worker;

struct loader {
    const dataset *set;
    loader_options o;
    int64_t *records; // (count): numbers in the dataset
    int64_t count, damaged;
    batch_order *order; // of these records
    worker *worker; // (o.threads)

    pthread_mutex_t lock;
    pthread_cond_t work, ready; // for the workers; for who waits for a batch or for quiet
    slot slot[SLOTS];           // that of step s is slot[s % SLOTS]
    int64_t next;               // the step that loader_next gives next
    int64_t filling;            // the step whose records are handed out
    int64_t taken;              // of its records
    int busy;                   // records in work
    bool ending;
};

// --- the records ---------------------------------------------------------------------------------

int64_t loader_records(const loader *l) {
    return l->count;
}

int64_t loader_record(const loader *l, int64_t i) {
    if (i < 0 || i >= l->count) die("loader: record %lld of %lld", (long long)i, (long long)l->count);
    return l->records[i];
}

int64_t loader_batch(const loader *l) {
    return l->o.batch;
}
int64_t loader_steps_per_epoch(const loader *l) {
    return order_steps_per_epoch(l->order);
}

// Fills in which records the batch of STEP holds.
static void slot_begin(loader *l, int64_t step) {
    slot *s = &l->slot[step % SLOTS];
    batch *b = &s->b;
    order_step place;
    order_batch(&place, b->global, l->order, step);
    b->step = step;
    b->epoch = place.epoch;
    b->global_count = place.global_count;
    b->count = place.count;
    b->first_sample = place.first_sample + place.first;
    b->record = b->global + place.first;
    s->left = b->count;
    s->failed = STATUS_OK;
}

// --- a record ------------------------------------------------------------------------------------

static status make_pixels(uint8_t *out, float *lut, worker *w, int64_t epoch, int64_t record) {
    const loader_options *o = &w->loader->o;
    bool crops = o->crop < STORED_SIDE, sizes = o->size < o->crop;
    uint8_t *last = o->augment ? w->sized : out; // what the augmentation reads
    uint8_t *crop = sizes ? w->crop : last, *square = crops ? w->square : crop;
    int64_t pixels = (int64_t)o->size * o->size;
    status rc = dataset_pixels(square, w->reader, record);
    if (rc) return rc;
    if (crops) image_crop(crop, square, STORED_SIDE, o->crop);
    if (sizes) rc = image_resize(last, o->size, o->size, crop, o->crop, o->crop);
    if (!o->augment) {
        lut_plain(lut);
        return rc;
    }
    augmentation a = augment_draw(o->seed, (uint32_t)epoch, (uint32_t)record);
    augment_affine(out, last, o->size, a);
    augment_lut(lut, out, pixels, a);
    return rc;
}

static status make_record(worker *w, batch *b, int64_t i) {
    const loader *l = w->loader;
    size_t pixels = (size_t)l->o.size * (size_t)l->o.size;
    memcpy(b->labels + i * CLASS_COUNT, dataset_labels(l->set, b->record[i]), CLASS_COUNT);
    return make_pixels(b->pixels + (size_t)i * pixels, b->lut + i * 256, w, b->epoch, b->record[i]);
}

// --- the threads ---------------------------------------------------------------------------------

// The slot of step NEXT - 1 is still the caller's.
static bool has_work(const loader *l) {
    return l->filling < l->next - 1 + SLOTS;
}

static void *work(void *argument) {
    worker *w = argument;
    loader *l = w->loader;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->ending && !has_work(l)) pthread_cond_wait(&l->work, &l->lock);
        if (l->ending) break;
        slot *s = &l->slot[l->filling % SLOTS];
        if (l->taken == 0) slot_begin(l, l->filling);
        int64_t i = l->taken++;
        if (l->taken >= s->b.count) {
            l->filling++;
            l->taken = 0;
        }
        l->busy++;
        pthread_mutex_unlock(&l->lock);
        status rc = i < s->b.count ? make_record(w, &s->b, i) : STATUS_OK; // a slice may be empty
        pthread_mutex_lock(&l->lock);
        l->busy--;
        if (rc && !s->failed) {
            s->failed = rc;
            snprintf(s->error, sizeof s->error, "%s", status_text());
        }
        if (s->left > 0) s->left--;
        // Waking who waits costs more than a record; only these two are waited for.
        if (!s->left || !l->busy) pthread_cond_signal(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

status loader_seek(loader *l, int64_t step) {
    pthread_mutex_lock(&l->lock);
    if (step != l->next) {
        l->next = l->filling - SLOTS; // no work until all is quiet
        while (l->busy) pthread_cond_wait(&l->ready, &l->lock);
        l->filling = l->next = step;
        l->taken = 0;
        pthread_cond_broadcast(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
    return STATUS_OK;
}

status loader_next(loader *l, batch **out) {
    pthread_mutex_lock(&l->lock);
    slot *s = &l->slot[l->next % SLOTS];
    l->next++; // gives back the slot of the batch before
    pthread_cond_broadcast(&l->work);
    while (l->filling < l->next || s->left) pthread_cond_wait(&l->ready, &l->lock);
    pthread_mutex_unlock(&l->lock);
    *out = &s->b;
    return s->failed ? status_carry(s->failed, s->error) : STATUS_OK;
}

// --- opening -------------------------------------------------------------------------------------

static status open_worker(worker *w, loader *l) {
    size_t crop = (size_t)l->o.crop, size = (size_t)l->o.size;
    w->loader = l;
    status rc = pixel_reader_open(&w->reader, l->set);
    if (!rc) rc = mem_new(&w->square, STORED_PIXELS, "a loader thread");
    if (!rc) rc = mem_new(&w->crop, crop * crop, "a loader thread");
    if (!rc) rc = mem_new(&w->sized, size * size, "a loader thread");
    return rc;
}

// Records of the largest slice of a batch.
static size_t most_records(const loader_options *o) {
    return (size_t)((o->batch + o->ranks - 1) / o->ranks);
}

static status open_slots(loader *l) {
    size_t most = most_records(&l->o), pixels = (size_t)l->o.size * (size_t)l->o.size;
    status rc = STATUS_OK;
    for (int i = 0; i < SLOTS && !rc; i++) {
        batch *b = &l->slot[i].b;
        rc = mem_take((void **)&b->pixels, most, pixels, "batches");
        if (!rc) rc = mem_new(&b->lut, most * 256, "batches");
        if (!rc) rc = mem_new(&b->labels, most * CLASS_COUNT, "batches");
        if (!rc) rc = mem_new(&b->global, l->o.batch, "batches");
    }
    return rc;
}

size_t loader_bytes(const loader_options *o) {
    const batch *b;
    size_t crop = (size_t)o->crop * (size_t)o->crop, size = (size_t)o->size * (size_t)o->size;
    size_t record = size * sizeof *b->pixels + 256 * sizeof *b->lut + CLASS_COUNT * sizeof *b->labels;
    return SLOTS * most_records(o) * record + (size_t)o->threads * (STORED_PIXELS + crop + size);
}

// Leaves out the records that cannot be read. All are read before the first step, so that what an epoch
// holds depends on the data alone, not on where a run was stopped.
static status leave_out_damaged(loader *l) {
    bool *bad = NULL;
    int64_t kept = 0;
    status failed = mem_new(&bad, l->count, "a list of records");
    char error[ERROR_SIZE] = "";
    if (failed) return failed;
#pragma omp parallel for schedule(dynamic, 16) num_threads(l->o.threads)
    for (int64_t i = 0; i < l->count; i++) {
        worker *w = &l->worker[omp_get_thread_num()];
        status rc = dataset_pixels(w->square, w->reader, l->records[i]);
        if (!rc) continue;
        bad[i] = true;
#pragma omp critical(leave_out)
        if (rc == STATUS_FORMAT)
            log_warn("%s; left out", status_text());
        else if (!failed) {
            failed = rc;
            snprintf(error, sizeof error, "%s", status_text());
        }
    }
    for (int64_t i = 0; i < l->count; i++)
        if (!bad[i]) l->records[kept++] = l->records[i];
    l->damaged = l->count - kept;
    l->count = kept;
    mem_free(bad);
    return failed ? status_carry(failed, error) : STATUS_OK;
}

static status start_threads(loader *l) {
    for (int i = 0; i < l->o.threads; i++) {
        worker *w = &l->worker[i];
        int error = pthread_create(&w->thread, NULL, work, w);
        if (error) return status_fail(STATUS_IO, "cannot start a loader thread: %s", strerror(error));
        w->started = true;
    }
    return STATUS_OK;
}

static status open_order(loader *l) {
    const loader_options *o = &l->o;
    order_options how = {.batch = o->batch,
                         .rank = o->rank,
                         .ranks = o->ranks,
                         .seed = o->seed,
                         .shuffle = o->shuffle,
                         .drop_last = o->drop_last};
    if (!l->count)
        return status_fail(STATUS_FORMAT,
                           "the split %s holds no record%s%s%s%s; look at the summary of "
                           "ingest and its skipped.csv",
                           split_names[o->split], o->need_text ? " with the section \"" : "",
                           o->need_text ? record_text_names[o->section] : "", o->need_text ? "\"" : "",
                           l->damaged ? " that is not damaged" : "");
    return order_open(&l->order, l->records, l->count, &how);
}

static status open_parts(loader *l) {
    const loader_options *o = &l->o;
    int need = o->need_text ? (int)o->section : -1;
    status rc = order_list(&l->records, &l->count, l->set, o->split, need, o->limit);
    if (!rc) rc = mem_new(&l->worker, o->threads, "loader threads");
    for (int i = 0; i < o->threads && !rc; i++) rc = open_worker(&l->worker[i], l);
    if (!rc && o->skip_bad) rc = leave_out_damaged(l);
    if (!rc) rc = open_order(l);
    if (!rc) rc = open_slots(l);
    return rc ? rc : start_threads(l);
}

status loader_open(loader **out, const dataset *set, const loader_options *options) {
    const loader_options *o = options;
    loader *l = NULL;
    *out = NULL;
    if (o->batch < 1 || o->rank < 0 || o->rank >= o->ranks || o->size < 1 || o->size > o->crop ||
        o->crop > STORED_SIDE || o->threads < 1 || o->limit < 0)
        die("loader: batch %lld, rank %d of %d, size %d, crop %d, %d threads", (long long)o->batch,
            o->rank, o->ranks, o->size, o->crop, o->threads);
    status rc = mem_new(&l, 1, "a loader");
    if (rc) return rc;
    l->set = set;
    l->o = *o;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    rc = open_parts(l);
    if (rc)
        loader_close(l);
    else
        *out = l;
    return rc;
}

void loader_close(loader *l) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; l->worker && i < l->o.threads; i++) {
        worker *w = &l->worker[i];
        if (w->started) pthread_join(w->thread, NULL);
        pixel_reader_close(w->reader);
        mem_free(w->square);
        mem_free(w->crop);
        mem_free(w->sized);
    }
    for (int i = 0; i < SLOTS; i++) {
        mem_free(l->slot[i].b.pixels);
        mem_free(l->slot[i].b.lut);
        mem_free(l->slot[i].b.labels);
        mem_free(l->slot[i].b.global);
    }
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    mem_free(l->worker);
    order_close(l->order);
    mem_free(l->records);
    mem_free(l);
}
