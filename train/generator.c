#include "train/generator.h"
#include "train/signals.h"

#include <string.h>

typedef struct answer {
    generator *writer;
    int32_t *ids;
    int32_t count;
    bool ready;
} answer;

struct generator {
    const llama *model; // borrowed
    generator_options o;
    generator_job job;
    decoder *decoder;
    float *image;      // (image_room): of the prompt that is begun
    size_t image_room; // numbers
    answer *answer;    // (count)
    int64_t next, given;
};

// --- opening ------------------------------------------------------------------------------------
static int64_t length_of(const generator_job *j, int64_t i) {
    return j->first[i + 1] - j->first[i];
}

static const int32_t *prompt_of(const generator_job *j, int64_t i) {
    return j->ids + j->first[i];
}

static status measure(const generator *g, int64_t *longest, int64_t *positions) {
    const int64_t end = g->model->config.positions;
    *longest = 1;
    for (int64_t i = 0; i < g->job.count; i++) {
        const int64_t length = length_of(&g->job, i);
        if (length < 1 || length >= end)
            return status_fail(STATUS_FORMAT,
                               "prompt %lld has %lld tokens; the model has room for 1 "
                               "to %lld before an answer",
                               (long long)(g->job.number + i), (long long)length,
                               (long long)(end - 1));
        if (length > *longest) *longest = length;
    }
    *positions = *longest + g->o.most < end ? *longest + g->o.most : end;
    return STATUS_OK;
}

// What all prompts begin with, before any image, leaving each a token of its own.
static int64_t common_prefix(const generator *g) {
    const generator_job *j = &g->job;
    if (!g->o.share || j->count < 2) return 0;
    int64_t same = length_of(j, 0) - 1;
    for (int64_t i = 0; i < j->count; i++) {
        const int32_t *a = prompt_of(j, 0), *b = prompt_of(j, i);
        const int64_t most = length_of(j, i) - 1 < same ? length_of(j, i) - 1 : same;
        for (same = 0; same < most && a[same] == b[same] && b[same] != g->o.image_token;) same++;
    }
    return same;
}

static status open_all(generator *g, tape *t) {
    int64_t longest = 1;
    decoder_options o = {.slots = g->o.slots,
                         .rows = g->o.rows,
                         .end = g->o.end,
                         .image_token = g->o.image_token,
                         .prefix = g->o.share,
                         .remember = g->o.remember};
    status rc = measure(g, &longest, &o.positions);
    if (rc) return rc;
    if (o.slots > g->job.count && g->job.count) o.slots = g->job.count;
    if (o.rows < longest) o.rows = longest;
    if (o.rows < o.slots) o.rows = o.slots;
    rc = decoder_open(&g->decoder, t, g->model, &o);
    return rc ? rc : mem_new(&g->answer, g->job.count ? g->job.count : 1, "answers");
}

status generator_open(generator **out, tape *t, const llama *m, const generator_options *o,
                      const generator_job *job) {
    generator *g;
    *out = NULL;
    status rc = mem_new(&g, 1, "a generator");
    if (rc) return rc;
    *g = (generator){.model = m, .o = *o, .job = *job};
    *out = g;
    return open_all(g, t);
}

void generator_close(generator *g) {
    if (!g) return;
    for (int64_t i = 0; g->answer && i < g->job.count; i++) mem_free(g->answer[i].ids);
    decoder_close(g->decoder);
    mem_free(g->image);
    mem_free(g->answer);
    mem_free(g);
}

size_t generator_bytes(const generator *g) {
    return decoder_bytes(g->decoder);
}

void generator_dry(generator *g) {
    decoder_dry(g->decoder);
}

status generator_size(generator *g) {
    return decoder_size(g->decoder);
}

// --- prompts ------------------------------------------------------------------------------------
static status keep_answer(void *context, const int32_t *ids, int32_t count, decoder_state state) {
    answer *a = context;
    const generator *g = a->writer;
    if (state == DECODER_WRITES) return STATUS_OK;
    if (state == DECODER_LOST)
        return status_fail(STATUS_FORMAT, "prompt %lld: no logit of token %d is a number",
                           (long long)(g->job.number + (a - g->answer)), count);
    a->count = count;
    status rc = mem_new(&a->ids, count ? count : 1, "an answer");
    if (rc) return rc;
    memcpy(a->ids, ids, (size_t)count * sizeof *ids);
    a->ready = true;
    return STATUS_OK;
}

static status read_images(generator *g, decoder_prompt *p) {
    const int64_t width = g->model->config.image_width;
    for (int32_t k = 0; k < p->count; k++) p->image_rows += p->ids[k] == g->o.image_token;
    if (!p->image_rows || !width)
        return STATUS_OK; // the decoder refuses images where there are none
    if (!g->job.images)
        return status_fail(STATUS_FORMAT, "a prompt has %lld image tokens, and there are no images",
                           (long long)p->image_rows);
    status rc = mem_grow((void **)&g->image, &g->image_room, (size_t)(p->image_rows * width),
                         sizeof *g->image, "image tokens of a prompt");
    p->images = g->image;
    return rc ? rc : g->job.images(g->job.context, g->next, p->image_rows, g->image);
}

// Free slots take prompts while a step has room.
static status begin_prompts(generator *g) {
    status rc = STATUS_OK;
    for (; g->next < g->job.count && decoder_free(g->decoder) && decoder_room(g->decoder) && !rc;
         g->next++) {
        answer *a = &g->answer[g->next];
        a->writer = g;
        decoder_prompt p = {.ids = prompt_of(&g->job, g->next),
                            .count = (int32_t)length_of(&g->job, g->next),
                            .most = (int32_t)g->o.most,
                            .choice = g->o.choice,
                            .number = g->job.number + g->next,
                            .context = a,
                            .said = keep_answer};
        rc = read_images(g, &p);
        if (!rc) rc = decoder_begin(g->decoder, &p, NULL);
    }
    return rc;
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
    decoder_reset(g->decoder);
    for (int64_t i = 0; i < g->job.count; i++) {
        mem_free(g->answer[i].ids);
        g->answer[i] = (answer){0};
    }
    g->next = g->given = 0;
}

status generator_run(generator *g) {
    begin_anew(g);
    status rc = decoder_prefix(g->decoder, g->job.ids + (g->job.count ? g->job.first[0] : 0),
                               common_prefix(g));
    while (!rc && g->given < g->job.count) {
        rc = begin_prompts(g);
        if (!rc) rc = decoder_step(g->decoder);
        if (!rc) rc = give_answers(g);
        if (!rc && !g->o.patient && signals_pending() && g->given < g->job.count)
            rc = status_fail(STATUS_INTERRUPTED, "stopped by signal %d after %lld answers",
                             signals_pending(), (long long)g->given);
    }
    return rc;
}

generator_counts generator_counted(const generator *g) {
    return decoder_counted(g->decoder);
}
