// A training step of a LLaMA's adapters (LoRA) on conversations of random words, with random image
// vectors in the places of image tokens; their lengths are those of radiology's (bench_conversations).
// The folder model.base says the sizes alone: the weights are random, time does not depend on them.
// scripts/bench/peer_lora.py is the same in PyTorch.
#include "train/bench_language.h"
#include "train/language_data.h"
#include "train/step.h"

#include <string.h>

typedef struct state {
    llama model;
    language_inputs inputs;
    bench_conversations text;
    llama_sample *sample; // (count): borrow the text's ids
    int32_t shared;       // rows of the prefix, once for all samples
} state;

// --- a batch -------------------------------------------------------------------------------------
// The reference's mean of micro-batches' means, or all tokens alike, as in language_data.c.
static double weight_of(const config *c, const bench_conversations *x, int64_t i) {
    const bool token = !strcmp(config_text(c, "train.weighting"), "token");
    const int64_t size = token ? x->count : config_int(c, "train.micro_batch");
    const int64_t first = i / size * size, end = first + size < x->count ? first + size : x->count;
    double answers = 0;
    for (int64_t k = first; k < end; k++) answers += x->span[2 * k + 1] - x->span[2 * k];
    return 1 / answers / (double)((x->count + size - 1) / size);
}

static status make_samples(run *r, state *s) {
    const bench_conversations *x = &s->text;
    status rc = mem_new(&s->sample, x->count, "a batch's conversations");
    for (int64_t i = 0; i < x->count && !rc; i++)
        s->sample[i] = (llama_sample){.ids = x->ids + x->first[i],
                                      .count = (int32_t)(x->first[i + 1] - x->first[i]),
                                      .span = x->span + 2 * i,
                                      .spans = 1,
                                      .sample = i,
                                      .weight = weight_of(r->config, x, i)};
    if (!rc && config_bool(r->config, "train.share_prefix"))
        s->shared = llama_shared_prefix(s->sample, x->count, x->image_token);
    return rc;
}

static status make_batch(run *r, int64_t count) {
    state *s = r->state;
    const bench_conversations *x = &s->text;
    status rc = bench_conversations_make(&s->text, &s->model.config, count);
    if (!rc) rc = make_samples(r, s);
    if (rc) return rc;
    llama_room room = {.samples = count,
                       .rows = llama_rows(s->sample, count, s->shared),
                       .images = count * BENCH_IMAGE_TOKENS,
                       .targets = x->answers,
                       .most = x->longest};
    r->samples = r->own_samples = count;
    rc = language_inputs_open(&s->inputs, r->device, &room, s->model.config.image_width,
                              BENCH_IMAGE_TOKENS);
    if (!rc) bench_images(s->inputs.staging, &s->inputs.images);
    return rc;
}

// Takes it to the device in every step, as training does.
static status load_batch(run *r) {
    state *s = r->state;
    const tensor *images = &s->inputs.images;
    llama_batch_load(&s->inputs.batch, s->sample, s->text.count, s->shared, s->text.image_token);
    if (images->data)
        r->device->upload(r->device, images->data, s->inputs.staging, tensor_bytes(images));
    r->kind = s->inputs.batch.kind;
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    return llama_loss(&r->tape, &s->model, &s->inputs.batch, language_images(&s->inputs));
}

static void release(run *r) {
    state *s = r->state;
    language_inputs_close(&s->inputs, r->device);
    bench_conversations_free(&s->text);
    mem_free(s->sample);
    mem_free(s);
    r->state = NULL;
}

static const stage bench_stage = {
    .name = "bench", .varies = true, .batch = load_batch, .loss = loss, .free = release};

// --- the work ------------------------------------------------------------------------------------
// Multiply-adds of a row. A frozen matrix is gone through twice, for the output and for the input's
// gradient; the adapters thrice.
static double layer_work(const lora_linear *l) {
    double sum = 2 * (double)tensor_count(l->base.weight);
    for (int i = 0; i < l->lora.parts; i++)
        sum += 3 * (double)(tensor_count(l->lora.part[i].a) + tensor_count(l->lora.part[i].b));
    return sum;
}

// Of attention in all layers but the last, where rows without an answer do not ask; forward once and
// backward twice.
static double attention_work(const state *s, bool last) {
    const double width = s->model.config.heads * s->model.config.head_width, shared = s->shared;
    double pairs = last ? 0 : shared * (shared + 1) / 2;
    for (int64_t i = 0; i < s->text.count; i++) {
        const double T = s->sample[i].count - last, from = last ? s->sample[i].span[0] - 1 : shared;
        pairs += (T * (T + 1) - from * (from + 1)) / 2;
    }
    return 3 * 2 * width * pairs;
}

// A step's floating-point operations, a multiply-add counting two.
static double step_flops(const state *s) {
    const llama *m = &s->model;
    const llama_batch *b = &s->inputs.batch;
    const double N = (double)b->tokens, targets = (double)b->targets;
    double sum = 2 * targets * (double)tensor_count(m->head);
    for (int i = 0; i < m->config.layers; i++) {
        const llama_layer *l = &m->layer[i];
        const bool last = i == m->config.layers - 1;
        const double rows = last ? (double)b->last.dim[0] : N;
        sum += N * layer_work(&l->qkv) + attention_work(s, last);
        sum += rows * (layer_work(&l->out) + layer_work(&l->gate_up) + layer_work(&l->down));
    }
    if (m->image.weight) sum += 2 * (double)(b->images.dim[0] * tensor_count(m->image.weight));
    return 2 * sum;
}

// --- training ------------------------------------------------------------------------------------
static status open_model(run *r, bench *b) {
    llama_config sizes;
    state *s = NULL;
    status rc = bench_language_config(&sizes, b->config);
    if (!rc) rc = run_open(r, &bench_stage, b->config);
    if (!rc) rc = mem_new(&s, 1, "a benchmark");
    if (rc) return rc;
    r->state = s;
    llama_make(&s->model, &r->params, &sizes);
    language_freeze_base(&r->params, config_text(b->config, "model.storage"));
    rc = run_build(r);
    if (!rc) rc = llama_fill(&s->model, &r->params);
    if (!rc) rc = language_begin_base(&r->params, "", true, r->seed);
    tape_checkpointing(&r->tape, config_bool(b->config, "train.recompute"));
    return rc ? rc : make_batch(r, b->batch ? b->batch : 8);
}

static void report_run(bench *b, const run *r) {
    const state *s = r->state;
    bench_name(b, "lora");
    bench_word(b, "precision", "precision", config_text(b->config, "run.precision"));
    bench_number(b, "threads", "threads", stream_threads(r->device->stream), 0);
    bench_number(b, "batch", "conversations in a batch", (double)s->text.count, 0);
    bench_number(b, "tokens", "tokens of them", (double)s->text.first[s->text.count], 0);
    bench_number(b, "answers", "  of answers", (double)s->text.answers, 0);
    bench_number(b, "rows", "rows of the batch", (double)s->inputs.batch.tokens, 0);
    bench_number(b, "parameters", "parameters that train", bench_trained(r), 0);
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
}

status bench_lora(bench *b) {
    run r = {0};
    double value = 0;
    status rc = open_model(&r, b);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = bench_peak(&b->peak, r.device);
    if (!rc) rc = load_batch(&r);
    if (!rc) rc = bench_plan_training(&r);
    if (!rc) rc = bench_time_training(b, &r, &value);
    if (!rc) {
        const state *s = r.state;
        const int64_t tokens = s->text.first[s->text.count];
        double memory = bench_peak_memory();
        report_run(b, &r);
        rc = bench_report_times(b, &r, "token", tokens, step_flops(s) / (double)tokens, memory);
        bench_number(b, "loss", "loss of the last step", value, 4);
    }
    run_close(&r);
    return rc;
}
