// Writing with a LLaMA and its adapters: a round is --tokens steps that each say the next token of
// --batch answers (greedy), behind prompts that were read before. Sizes and prompts are those of
// bench_language.h; the weights are random. scripts/bench/peer_generate.py is the same in PyTorch.
#include "core/log.h"
#include "eval/sampling.h"
#include "models/llama_generate.h"
#include "train/bench_language.h"
#include "train/inference.h"

#include <math.h>

typedef struct writer {
    inference run;
    llama model;
    bench_conversations text;
    llama_cache cache;
    llama_step_batch batch;
    tensor images; // (count * BENCH_IMAGE_TOKENS, image_width)
    llama_turn *turn;
    int32_t *said; // (count): the latest token of each
    float *logits; // (count, V)
    int64_t rows, tokens;
} writer;

// --- opening -------------------------------------------------------------------------------------
static status open_model(writer *w, const bench *b) {
    llama_config sizes;
    inference *s = &w->run;
    const config *c = b->config;
    s->config = b->config;
    status rc = bench_language_config(&sizes, c);
    if (!rc) rc = inference_open_device(s);
    if (rc) return rc;
    llama_make(&w->model, &s->params, &sizes);
    language_freeze_base(&s->params, config_text(c, "model.storage"));
    rc = inference_allocate(s);
    if (!rc) rc = params_init(&s->params, (uint64_t)config_int(c, "run.seed"));
    if (!rc) rc = llama_fill(&w->model, &s->params);
    if (!rc) rc = language_begin_base(&s->params, "", true, (uint64_t)config_int(c, "run.seed"));
    return !rc && config_bool(c, "generate.merge") ? language_merge(&w->model, &s->params) : rc;
}

static int32_t prompt_of(const writer *w, int64_t i) { return w->text.span[2 * i]; }

static status open_images(writer *w) {
    device *d = w->run.device;
    void *values = NULL;
    w->images = (tensor){.type = d->type, .rank = 2,
                         .dim = {w->text.count * BENCH_IMAGE_TOKENS, w->model.config.image_width}};
    const size_t bytes = tensor_bytes(&w->images);
    if (!bytes) return STATUS_OK;
    status rc = d->take(d, bytes, "image tokens", &w->images.data);
    if (!rc) rc = mem_take(&values, bytes, 1, "image tokens");
    if (!rc) bench_images(values, &w->images);
    if (!rc) d->upload(d, w->images.data, values, bytes);
    mem_free(values);
    return rc;
}

static status open_texts(writer *w, int64_t count) {
    int64_t longest = 0;
    const llama_config *m = &w->model.config;
    status rc = bench_conversations_make(&w->text, m, count);
    for (int64_t i = 0; i < count && !rc; i++) {
        w->rows += prompt_of(w, i);
        if (prompt_of(w, i) > longest) longest = prompt_of(w, i);
    }
    const llama_step_room room = {w->rows, count * BENCH_IMAGE_TOKENS, count};
    if (!rc && longest + w->tokens > m->positions)
        rc = status_fail(STATUS_USAGE, "bench: --tokens %lld behind a prompt of %lld; the model has "
                                       "%lld positions", (long long)w->tokens, (long long)longest,
                         (long long)m->positions);
    if (!rc) rc = llama_cache_open(&w->cache, w->run.device, m, count, longest + w->tokens);
    if (!rc) rc = llama_step_open(&w->batch, w->run.device, &room);
    if (!rc) rc = mem_new(&w->turn, count, "turns");
    if (!rc) rc = mem_new(&w->said, count, "tokens");
    if (!rc) rc = mem_new(&w->logits, count * m->vocabulary, "logits");
    return rc ? rc : open_images(w);
}

static void writer_close(writer *w) {
    if (w->run.device) w->run.device->release(w->run.device, w->images.data);
    llama_cache_close(&w->cache);
    llama_step_close(&w->batch);
    bench_conversations_free(&w->text);
    mem_free(w->turn);
    mem_free(w->said);
    mem_free(w->logits);
    w->run.config = NULL; // the command's
    inference_close(&w->run);
}

// --- steps ---------------------------------------------------------------------------------------
static tensor *logits_of(writer *w) {
    tape_begin(&w->run.tape, false);
    w->run.tape.training = false;
    return llama_step(&w->run.tape, &w->model, &w->cache, &w->batch,
                      w->images.data ? &w->images : NULL);
}

// The turns' tokens go into the cache, and each one's next is said.
static status say(writer *w) {
    const int64_t V = w->model.config.vocabulary;
    const sampling greedy = {0};
    llama_step_load(&w->batch, w->turn, w->text.count, w->text.image_token);
    tensor *x = logits_of(w);
    device_read(w->run.device, w->logits, x);
    status rc = tape_failed(&w->run.tape);
    for (int64_t i = 0; i < w->text.count && !rc; i++) {
        if (w->text.image_token >= 0) w->logits[i * V + w->text.image_token] = -INFINITY;
        w->said[i] = sampling_choose(w->logits + i * V, V, &greedy, i, 0);
    }
    return rc;
}

static status read_prompts(writer *w) {
    for (int64_t i = 0; i < w->text.count; i++)
        w->turn[i] = (llama_turn){w->text.ids + w->text.first[i], prompt_of(w, i), 0, (int32_t)i};
    return say(w);
}

// What the largest step takes: the prompts'.
static status plan(writer *w) {
    w->batch.most = w->cache.positions;
    logits_of(w);
    return tape_allocate(&w->run.tape, tape_used(&w->run.tape));
}

static status write_answers(writer *w) {
    status rc = STATUS_OK;
    for (int64_t k = 0; k < w->tokens && !rc; k++) {
        for (int64_t i = 0; i < w->text.count; i++)
            w->turn[i] = (llama_turn){&w->said[i], 1, prompt_of(w, i) + (int32_t)k, (int32_t)i};
        rc = say(w);
    }
    return rc;
}

// --- the report ----------------------------------------------------------------------------------
// What a step reads of the weights.
static double weight_bytes(const writer *w) {
    const params *p = &w->run.params;
    double sum = (double)p->frozen_bytes;
    if (!w->model.config.tied) sum -= (double)tensor_bytes(w->model.embedding);
    return sum;
}

static void report(bench *b, const writer *w, double reading) {
    const bench_spread t = bench_sort(b->seconds, b->rounds);
    const double steps = (double)w->tokens, count = (double)w->text.count;
    bench_name(b, "generate");
    bench_word(b, "precision", "precision", config_text(b->config, "run.precision"));
    bench_number(b, "threads", "threads", stream_threads(w->run.device->stream), 0);
    bench_number(b, "batch", "answers at a time", count, 0);
    bench_number(b, "tokens", "tokens of each", steps, 0);
    bench_number(b, "prompt_tokens", "tokens of all prompts", (double)w->rows, 0);
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
    bench_number(b, "ms_prompts", "ms to read the prompts", 1e3 * reading, 2);
    bench_number(b, "ms_median", "ms a round, median", 1e3 * t.median, 2);
    bench_number(b, "ms_min", "  smallest", 1e3 * t.min, 2);
    bench_number(b, "ms_max", "  largest", 1e3 * t.max, 2);
    bench_number(b, "ms_per_token", "ms a step", 1e3 * t.median / steps, 3);
    bench_number(b, "tokens_per_second", "tokens a second", count * steps / t.median, 2);
    bench_number(b, "gb_per_second", "GB/s of weights", 1e-9 * weight_bytes(w) * steps / t.median, 2);
    bench_number(b, "peak_memory_mb", "peak memory, MB", bench_peak_memory(), 1);
}

status bench_generate(bench *b) {
    writer w = {.tokens = b->tokens};
    double reading = 0;
    status rc = open_model(&w, b);
    if (!rc) rc = open_texts(&w, b->batch ? b->batch : 1);
    if (!rc) rc = plan(&w);
    if (!rc) rc = read_prompts(&w); // again, once libraries have chosen their kernels
    const double start = clock_seconds();
    if (!rc) rc = read_prompts(&w);
    reading = clock_seconds() - start;
    for (int64_t i = -b->warmup; i < b->rounds && !rc; i++) {
        rc = bench_begin(b, i);
        if (!rc) rc = write_answers(&w);
        if (!rc) bench_end(b, i);
    }
    if (!rc) report(b, &w, reading);
    writer_close(&w);
    return rc;
}
