#include "train/generator.h"
#include "core/log.h"
#include "train/signals.h"

#include <math.h>
#include <string.h>

// A sequence that is being written, or none.
typedef struct slot {
    int64_t prompt; // -1: free
    int32_t *ids;   // (positions): prompt and answer
    int32_t count, asked, known; // all; of the prompt; in the cache
} slot;

typedef struct answer {
    int32_t *ids;
    int32_t count;
    bool ready;
} answer;

struct generator {
    tape *tape; // borrowed, as the model
    const llama *model;
    device *device;
    generator_options o;
    generator_job job;
    llama_cache cache;
    llama_step_batch batch;
    tensor images; // (M, image_width)
    void *staging;
    float *image, *logits; // (M, image_width); (slots, V)
    slot *slot;
    int32_t *ids; // of all slots
    llama_turn *turn;
    int64_t *turn_slot;
    answer *answer; // (count)
    int64_t next, given, positions;
    generator_counts counts;
};

// --- opening ------------------------------------------------------------------------------------
static int64_t length_of(const generator_job *j, int64_t i) {
    return j->first[i + 1] - j->first[i];
}

static status measure(generator *g, int64_t *longest) {
    const int64_t end = g->model->config.positions;
    *longest = 1;
    for (int64_t i = 0; i < g->job.count; i++) {
        const int64_t length = length_of(&g->job, i);
        if (length < 1 || length >= end)
            return status_fail(STATUS_FORMAT, "prompt %lld has %lld tokens; the model has room for 1 "
                                              "to %lld before an answer",
                               (long long)(g->job.number + i), (long long)length,
                               (long long)(end - 1));
        if (length > *longest) *longest = length;
    }
    g->positions = *longest + g->o.most < end ? *longest + g->o.most : end;
    return STATUS_OK;
}

// What all prompts begin with, before any image, leaving each a token of its own.
static int64_t common_prefix(const generator *g) {
    const generator_job *j = &g->job;
    if (!g->o.share || j->count < 2) return 0;
    int64_t same = length_of(j, 0) - 1;
    for (int64_t i = 0; i < j->count; i++) {
        const int32_t *a = j->ids + j->first[0], *b = j->ids + j->first[i];
        const int64_t most = length_of(j, i) - 1 < same ? length_of(j, i) - 1 : same;
        for (same = 0; same < most && a[same] == b[same] && b[same] != g->o.image_token;) same++;
    }
    return same;
}

static status open_images(generator *g, int64_t rows) {
    const int64_t width = g->model->config.image_width;
    g->images = (tensor){.type = g->device->type, .rank = 2, .dim = {rows, width}};
    if (!width) return STATUS_OK;
    const size_t bytes = tensor_bytes(&g->images);
    status rc = g->device->take(g->device, bytes, "image tokens of a step", &g->images.data);
    if (!rc) rc = mem_take(&g->staging, bytes, 1, "image tokens of a step");
    return rc ? rc : mem_new(&g->image, rows * width, "image tokens of a step");
}

static status open_host(generator *g) {
    const int64_t slots = g->o.slots;
    status rc = mem_new(&g->slot, slots, "slots");
    if (!rc) rc = mem_new(&g->ids, slots * (g->positions + 1), "tokens of slots");
    if (!rc) rc = mem_new(&g->turn, slots, "turns");
    if (!rc) rc = mem_new(&g->turn_slot, slots, "turns");
    if (!rc) rc = mem_new(&g->logits, slots * g->model->config.vocabulary, "logits");
    if (!rc) rc = mem_new(&g->answer, g->job.count ? g->job.count : 1, "answers");
    for (int64_t i = 0; i < slots && !rc; i++)
        g->slot[i] = (slot){.prompt = -1, .ids = g->ids + i * (g->positions + 1)};
    return rc;
}

static tensor *images_of(generator *g) {
    return g->images.data ? &g->images : NULL;
}

size_t generator_bytes(const generator *g) {
    return llama_cache_bytes(g->device, &g->model->config, g->cache.slots, g->cache.positions) +
           g->batch.memory.bytes + (g->images.data ? tensor_bytes(&g->images) : 0);
}

void generator_dry(generator *g) {
    tape_begin(g->tape, false);
    g->tape->training = false;
    g->batch.most = g->positions;
    llama_step(g->tape, g->model, &g->cache, &g->batch, images_of(g));
}

status generator_size(generator *g) {
    generator_dry(g);
    return tape_allocate(g->tape, tape_used(g->tape));
}

static status open_all(generator *g) {
    int64_t longest;
    const bool images = g->model->config.image_width > 0;
    status rc = measure(g, &longest);
    if (rc) return rc;
    if (g->o.slots > g->job.count && g->job.count) g->o.slots = g->job.count;
    if (g->o.rows < longest) g->o.rows = longest;
    if (g->o.rows < g->o.slots) g->o.rows = g->o.slots;
    const llama_step_room room = {g->o.rows, images ? g->o.rows : 0, g->o.slots};
    rc = llama_cache_open(&g->cache, g->device, &g->model->config, g->o.slots + g->o.share,
                          g->positions);
    if (!rc) rc = llama_step_open(&g->batch, g->device, &room);
    if (!rc) rc = open_images(g, room.images);
    if (!rc) rc = open_host(g);
    return rc;
}

status generator_open(generator **out, tape *t, const llama *m, const generator_options *o,
                      const generator_job *job) {
    generator *g;
    *out = NULL;
    status rc = mem_new(&g, 1, "a generator");
    if (rc) return rc;
    *g = (generator){.tape = t, .model = m, .device = t->real, .o = *o, .job = *job};
    *out = g;
    return open_all(g);
}

void generator_close(generator *g) {
    if (!g) return;
    for (int64_t i = 0; g->answer && i < g->job.count; i++) mem_free(g->answer[i].ids);
    llama_cache_close(&g->cache);
    llama_step_close(&g->batch);
    if (g->images.data) g->device->release(g->device, g->images.data);
    mem_free(g->staging);
    mem_free(g->image);
    mem_free(g->logits);
    mem_free(g->slot);
    mem_free(g->ids);
    mem_free(g->turn);
    mem_free(g->turn_slot);
    mem_free(g->answer);
    mem_free(g);
}

// --- a step -------------------------------------------------------------------------------------
static int64_t images_in(const generator *g, const int32_t *ids, int64_t count) {
    int64_t rows = 0;
    for (int64_t i = 0; i < count; i++) rows += ids[i] == g->o.image_token;
    return rows;
}

// The image vectors of the turns that read a prompt, behind each other.
static status load_images(generator *g, int64_t turns) {
    const int64_t width = g->images.dim[1];
    int64_t at = 0;
    for (int64_t i = 0; i < turns; i++) {
        const int64_t rows = images_in(g, g->turn[i].ids, g->turn[i].count);
        if (!rows) continue;
        if (!images_of(g) || !g->job.images)
            return status_fail(STATUS_FORMAT, "a prompt has %lld image tokens, and the model takes "
                                              "no images", (long long)rows);
        status rc = g->job.images(g->job.context, g->slot[g->turn_slot[i]].prompt, rows,
                                  g->image + at * width);
        if (rc) return rc;
        at += rows;
    }
    g->images.dim[0] = at;
    for (int64_t e = 0; e < at * width; e++)
        element_put(g->staging, e, (double)g->image[e], g->images.type);
    if (at) g->device->upload(g->device, g->images.data, g->staging, tensor_bytes(&g->images));
    return STATUS_OK;
}

// Logits of what follows each of COUNT turns.
static status run_step(generator *g, int64_t count) {
    tape *t = g->tape;
    status rc = load_images(g, count);
    if (rc) return rc;
    llama_step_load(&g->batch, g->turn, count, g->o.image_token);
    tape_begin(t, false);
    t->training = false;
    tensor *logits = llama_step(t, g->model, &g->cache, &g->batch, images_of(g));
    device_read(g->device, g->logits, logits);
    g->counts.steps++;
    return tape_failed(t);
}

static status read_prefix(generator *g, int64_t count) {
    g->counts.shared = count;
    g->cache.prefix = 0;
    g->cache.prefix_slot = g->cache.slots - 1;
    for (int64_t at = 0; at < count;) {
        const int64_t n = count - at < g->o.rows ? count - at : g->o.rows;
        g->turn[0] = (llama_turn){g->job.ids + g->job.first[0] + at, (int32_t)n, (int32_t)at,
                                  (int32_t)g->cache.prefix_slot};
        status rc = run_step(g, 1);
        if (rc) return rc;
        g->counts.read += n;
        at += n;
    }
    g->cache.prefix = count;
    return STATUS_OK;
}

// --- slots --------------------------------------------------------------------------------------
static void begin_prompt(generator *g, slot *s) {
    const generator_job *j = &g->job;
    s->prompt = g->next++;
    s->count = s->asked = (int32_t)length_of(j, s->prompt);
    s->known = (int32_t)g->cache.prefix;
    memcpy(s->ids, j->ids + j->first[s->prompt], (size_t)s->count * sizeof *s->ids);
    g->counts.prompts++;
}

// Turns of all slots that have something to say; free ones take prompts while a step has room.
static int64_t fill_turns(generator *g) {
    int64_t rows = 0, count = 0;
    for (int64_t i = 0; i < g->o.slots; i++) rows += g->slot[i].prompt >= 0;
    for (int64_t i = 0; i < g->o.slots; i++) {
        slot *s = &g->slot[i];
        if (s->prompt < 0) {
            if (g->next == g->job.count) continue;
            const int64_t more = length_of(&g->job, g->next) - g->cache.prefix;
            if (rows + more > g->o.rows) continue;
            begin_prompt(g, s);
            rows += more;
        }
        const int32_t n = s->count - s->known;
        g->turn[count] = (llama_turn){s->ids + s->known, n, s->known, (int32_t)i};
        g->turn_slot[count++] = i;
        g->counts.read += n;
    }
    return count;
}

static status keep_answer(generator *g, slot *s) {
    answer *a = &g->answer[s->prompt];
    a->count = s->count - s->asked;
    status rc = mem_new(&a->ids, a->count ? a->count : 1, "an answer");
    if (rc) return rc;
    memcpy(a->ids, s->ids + s->asked, (size_t)a->count * sizeof *a->ids);
    a->ready = true;
    s->prompt = -1;
    return STATUS_OK;
}

// The next token of a slot from its LOGITS. The image token is none that can be said: its row of the
// head was never trained (REFERENCE 5.3).
static status take_token(generator *g, slot *s, float *logits) {
    const int32_t place = s->count - s->asked;
    if (g->o.image_token >= 0 && g->o.image_token < g->model->config.vocabulary)
        logits[g->o.image_token] = -INFINITY;
    const int32_t id = sampling_choose(logits, g->model->config.vocabulary, &g->o.choice,
                                       g->job.number + s->prompt, place);
    if (id < 0)
        return status_fail(STATUS_FORMAT, "prompt %lld: no logit of token %d is a number",
                           (long long)(g->job.number + s->prompt), place);
    s->known = s->count;
    g->counts.written++;
    if (id == g->o.end) return keep_answer(g, s);
    s->ids[s->count++] = id;
    const bool full = place + 1 >= g->o.most || s->count >= g->positions;
    return full ? keep_answer(g, s) : STATUS_OK;
}

static status give_answers(generator *g) {
    status rc = STATUS_OK;
    for (; g->given < g->job.count && g->answer[g->given].ready && !rc; g->given++) {
        answer *a = &g->answer[g->given];
        rc = g->job.done(g->job.context, g->given, a->ids, a->count);
        mem_free(a->ids);
        a->ids = NULL;
    }
    return rc;
}

// As it was opened.
static void begin_anew(generator *g) {
    for (int64_t i = 0; i < g->o.slots; i++) g->slot[i].prompt = -1;
    for (int64_t i = 0; i < g->job.count; i++) {
        mem_free(g->answer[i].ids);
        g->answer[i] = (answer){0};
    }
    g->next = g->given = 0;
    g->counts = (generator_counts){0};
}

status generator_run(generator *g) {
    begin_anew(g);
    status rc = read_prefix(g, common_prefix(g));
    while (!rc && g->given < g->job.count) {
        const int64_t turns = fill_turns(g);
        rc = run_step(g, turns);
        for (int64_t i = 0; i < turns && !rc; i++)
            rc = take_token(g, &g->slot[g->turn_slot[i]],
                            g->logits + i * g->model->config.vocabulary);
        if (!rc) rc = give_answers(g);
        if (!rc && !g->o.patient && signals_pending() && g->given < g->job.count)
            rc = status_fail(STATUS_INTERRUPTED, "stopped by signal %d after %lld answers",
                             signals_pending(), (long long)g->given);
    }
    return rc;
}

generator_counts generator_counted(const generator *g) {
    return g->counts;
}
