#include "train/decoder.h"

#include <math.h>
#include <string.h>

// A sequence that is being written, or what is left of one.
typedef struct slot {
    bool busy;
    int32_t *ids;                // (positions + 1): prompt and answer
    int32_t count, asked, known; // all; of the prompt; in the cache
    float *images;               // (image_rows, image_width)
    int64_t image_rows;
    size_t image_room;     // numbers
    int64_t used;          // when it was begun
    decoder_prompt prompt; // its ids and images are not valid any more
} slot;

struct decoder {
    tape *tape; // borrowed, as the model
    const llama *model;
    device *device;
    decoder_options o;
    llama_cache cache;
    llama_step_batch batch;
    tensor images; // (M, image_width)
    void *staging;
    float *image, *logits; // (M, image_width); (slots, V)
    slot *slot;
    int32_t *ids; // of all slots
    llama_turn *turn;
    decoder_counts counts;
};

// --- opening ------------------------------------------------------------------------------------
static status open_images(decoder *d, int64_t rows) {
    const int64_t width = d->model->config.image_width;
    d->images = (tensor){.type = d->device->type, .rank = 2, .dim = {rows, width}};
    if (!width) return STATUS_OK;
    const size_t bytes = tensor_bytes(&d->images);
    status rc = d->device->take(d->device, bytes, "image tokens of a step", &d->images.data);
    if (!rc) rc = mem_take(&d->staging, bytes, 1, "image tokens of a step");
    return rc ? rc : mem_new(&d->image, rows * width, "image tokens of a step");
}

static status open_host(decoder *d) {
    const int64_t slots = d->o.slots, length = d->o.positions + 1;
    status rc = mem_new(&d->slot, slots, "slots");
    if (!rc) rc = mem_new(&d->ids, slots * length, "tokens of slots");
    if (!rc) rc = mem_new(&d->turn, slots, "turns");
    if (!rc) rc = mem_new(&d->logits, slots * d->model->config.vocabulary, "logits");
    for (int64_t i = 0; i < slots && !rc; i++) d->slot[i].ids = d->ids + i * length;
    return rc;
}

static status open_all(decoder *d) {
    const decoder_options *o = &d->o;
    const llama_step_room room = {o->rows, d->model->config.image_width ? o->rows : 0, o->slots};
    if (o->rows < o->slots)
        die("decoder: %lld rows, %lld slots", (long long)o->rows, (long long)o->slots);
    status rc = llama_cache_open(&d->cache, d->device, &d->model->config, o->slots + o->prefix,
                                 o->positions);
    if (!rc) rc = llama_step_open(&d->batch, d->device, &room);
    if (!rc) rc = open_images(d, room.images);
    return rc ? rc : open_host(d);
}

status decoder_open(decoder **out, tape *t, const llama *m, const decoder_options *o) {
    decoder *d;
    *out = NULL;
    status rc = mem_new(&d, 1, "a decoder");
    if (rc) return rc;
    *d = (decoder){.tape = t, .model = m, .device = t->real, .o = *o};
    *out = d;
    return open_all(d);
}

void decoder_close(decoder *d) {
    if (!d) return;
    for (int64_t i = 0; d->slot && i < d->o.slots; i++) mem_free(d->slot[i].images);
    llama_cache_close(&d->cache);
    llama_step_close(&d->batch);
    if (d->images.data) d->device->release(d->device, d->images.data);
    mem_free(d->staging);
    mem_free(d->image);
    mem_free(d->logits);
    mem_free(d->slot);
    mem_free(d->ids);
    mem_free(d->turn);
    mem_free(d);
}

static tensor *images_of(decoder *d) {
    return d->images.data ? &d->images : NULL;
}

size_t decoder_bytes(const decoder *d) {
    return llama_cache_bytes(d->device, &d->model->config, d->cache.slots, d->cache.positions) +
           d->batch.memory.bytes + (d->images.data ? tensor_bytes(&d->images) : 0);
}

void decoder_dry(decoder *d) {
    tape_begin(d->tape, false);
    d->tape->training = false;
    d->batch.most = d->o.positions;
    llama_step(d->tape, d->model, &d->cache, &d->batch, images_of(d));
}

status decoder_size(decoder *d) {
    decoder_dry(d);
    return tape_allocate(d->tape, tape_used(d->tape));
}

// --- a step -------------------------------------------------------------------------------------
static int64_t images_in(const decoder *d, const int32_t *ids, int64_t count) {
    int64_t rows = 0;
    for (int64_t i = 0; i < count; i++) rows += ids[i] == d->o.image_token;
    return rows;
}

// The image vectors that the turns read, behind each other.
static void load_images(decoder *d, int64_t turns) {
    const int64_t width = d->images.dim[1];
    int64_t at = 0;
    for (int64_t i = 0; i < turns; i++) {
        const llama_turn *x = &d->turn[i];
        const int64_t rows = images_in(d, x->ids, x->count);
        if (!rows) continue; // as of the prefix, which has no slot
        const slot *s = &d->slot[x->slot];
        memcpy(d->image + at * width, s->images + images_in(d, s->ids, x->position) * width,
               (size_t)(rows * width) * sizeof *d->image);
        at += rows;
    }
    d->images.dim[0] = at;
    for (int64_t e = 0; e < at * width; e++)
        element_put(d->staging, e, (double)d->image[e], d->images.type);
    if (at) d->device->upload(d->device, d->images.data, d->staging, tensor_bytes(&d->images));
}

// Logits of what follows each of COUNT turns.
static status run_step(decoder *d, int64_t count) {
    tape *t = d->tape;
    load_images(d, count);
    llama_step_load(&d->batch, d->turn, count, d->o.image_token);
    tape_begin(t, false);
    t->training = false;
    tensor *logits = llama_step(t, d->model, &d->cache, &d->batch, images_of(d));
    device_read(d->device, d->logits, logits);
    d->counts.steps++;
    for (int64_t i = 0; i < count; i++) d->counts.read += d->turn[i].count;
    return tape_failed(t);
}

status decoder_prefix(decoder *d, const int32_t *ids, int64_t count) {
    d->counts.shared = count;
    d->cache.prefix = 0;
    d->cache.prefix_slot = d->cache.slots - 1;
    for (int64_t at = 0; at < count;) {
        const int64_t n = count - at < d->o.rows ? count - at : d->o.rows;
        d->turn[0] = (llama_turn){ids + at, (int32_t)n, (int32_t)at, (int32_t)d->cache.prefix_slot};
        status rc = run_step(d, 1);
        if (rc) return rc;
        at += n;
    }
    d->cache.prefix = count;
    return STATUS_OK;
}

void decoder_reset(decoder *d) {
    for (int64_t i = 0; i < d->o.slots; i++) {
        d->slot[i].busy = false;
        d->slot[i].known = 0;
    }
    d->counts = (decoder_counts){0};
}

// --- slots --------------------------------------------------------------------------------------
int64_t decoder_busy(const decoder *d) {
    int64_t busy = 0;
    for (int64_t i = 0; i < d->o.slots; i++) busy += d->slot[i].busy;
    return busy;
}

int64_t decoder_free(const decoder *d) {
    return d->o.slots - decoder_busy(d);
}

int64_t decoder_room(const decoder *d) {
    int64_t rows = d->o.rows;
    for (int64_t i = 0; i < d->o.slots; i++)
        if (d->slot[i].busy) rows -= d->slot[i].count - d->slot[i].known;
    return rows > 0 ? rows : 0;
}

// How many of P's tokens the cache has in S: something is left to read, whose logits tell what
// follows.
static int32_t agreeing(const decoder *d, const slot *s, const decoder_prompt *p) {
    const size_t bytes = (size_t)(p->image_rows * d->model->config.image_width) * sizeof *p->images;
    const bool same =
        s->image_rows == p->image_rows && (!bytes || !memcmp(s->images, p->images, bytes));
    int32_t n = 0;
    if (!d->o.remember) return (int32_t)d->cache.prefix;
    while (n < s->known && n < p->count - 1 && s->ids[n] == p->ids[n] &&
           (same || p->ids[n] != d->o.image_token))
        n++;
    return n;
}

// Free, and what it remembers is worth most; of equal ones the one that was left alone for longest.
static slot *choose_slot(const decoder *d, const decoder_prompt *p, int32_t *known) {
    slot *best = NULL;
    for (int64_t i = 0; i < d->o.slots; i++) {
        slot *s = &d->slot[i];
        if (s->busy) continue;
        const int32_t n = agreeing(d, s, p);
        if (best && (n < *known || (n == *known && s->used >= best->used))) continue;
        best = s;
        *known = n;
    }
    return best;
}

static status keep_images(decoder *d, slot *s, const decoder_prompt *p) {
    const int64_t rows = images_in(d, p->ids, p->count), width = d->model->config.image_width;
    if (rows && !width)
        return status_fail(STATUS_FORMAT,
                           "a prompt has %lld image tokens, and the model takes no images",
                           (long long)rows);
    if (rows != p->image_rows)
        return status_fail(STATUS_FORMAT, "a prompt has %lld image tokens, its image %lld",
                           (long long)rows, (long long)p->image_rows);
    const size_t numbers = (size_t)(rows * width);
    status rc = numbers ? mem_grow((void **)&s->images, &s->image_room, numbers, sizeof *s->images,
                                   "image tokens of a slot")
                        : STATUS_OK;
    if (!rc && numbers) memcpy(s->images, p->images, numbers * sizeof *s->images);
    s->image_rows = rc ? 0 : rows;
    return rc;
}

status decoder_begin(decoder *d, const decoder_prompt *p, int64_t *index) {
    int32_t known = 0;
    slot *s = choose_slot(d, p, &known);
    if (!s) die("decoder_begin: no slot is free");
    if (p->count < 1 || p->count >= d->o.positions)
        die("decoder_begin: a prompt of %d tokens, room for %lld", p->count,
            (long long)d->o.positions);
    status rc = keep_images(d, s, p);
    s->known = rc ? 0 : known;
    if (rc) return rc;
    memcpy(s->ids, p->ids, (size_t)p->count * sizeof *s->ids);
    s->count = s->asked = p->count;
    s->prompt = *p;
    s->busy = true;
    s->used = ++d->counts.prompts;
    if (d->o.remember) d->counts.known += known;
    if (index) *index = s - d->slot;
    return STATUS_OK;
}

void decoder_drop(decoder *d, int64_t index) {
    d->slot[index].busy = false;
}

// A row for everybody, and what is left to those that have more to read.
static int64_t fill_turns(decoder *d) {
    int64_t left = d->o.rows - decoder_busy(d), count = 0;
    for (int64_t i = 0; i < d->o.slots; i++) {
        const slot *s = &d->slot[i];
        if (!s->busy) continue;
        const int64_t pending = s->count - s->known, n = pending < left + 1 ? pending : left + 1;
        left -= n - 1;
        d->turn[count++] = (llama_turn){s->ids + s->known, (int32_t)n, s->known, (int32_t)i};
    }
    return count;
}

// The next token of a slot from its LOGITS. The image token is none that can be said: its row of
// the head was never trained (REFERENCE 5.3).
static status take_token(decoder *d, slot *s, float *logits) {
    const int64_t V = d->model->config.vocabulary;
    const int32_t place = s->count - s->asked;
    decoder_state state = DECODER_WRITES;
    if (d->o.image_token >= 0 && d->o.image_token < V) logits[d->o.image_token] = -INFINITY;
    const int32_t id = sampling_choose(logits, V, &s->prompt.choice, s->prompt.number, place);
    if (id >= 0) d->counts.written++;
    if (id < 0)
        state = DECODER_LOST;
    else if (id == d->o.end)
        state = DECODER_ENDED;
    else
        s->ids[s->count++] = id;
    if (!state && (place + 1 >= s->prompt.most || s->count >= d->o.positions)) state = DECODER_FULL;
    s->busy = !state;
    return s->prompt.said(s->prompt.context, s->ids + s->asked, s->count - s->asked, state);
}

status decoder_step(decoder *d) {
    const int64_t turns = fill_turns(d);
    status rc = turns ? run_step(d, turns) : STATUS_OK;
    for (int64_t i = 0; i < turns && !rc; i++) {
        slot *s = &d->slot[d->turn[i].slot];
        s->known += d->turn[i].count;
        if (s->known == s->count)
            rc = take_token(d, s, d->logits + i * d->model->config.vocabulary);
    }
    return rc;
}

decoder_counts decoder_counted(const decoder *d) {
    return d->counts;
}
