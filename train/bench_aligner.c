// A training step of the aligner on random features (data.cache "off": on random pixels, which the
// encoder sees in each step) and texts of random words, whose lengths are
// those of reports. The weights are random too: time does not depend on them.
// scripts/bench/peer_aligner.py is the same in PyTorch.
#include "train/aligner_data.h"
#include "train/bench.h"
#include "train/step.h"

#include <string.h>

// [DEC] is the last token of BERT's vocabulary and one more.
enum { VOCABULARY = 30523, CLS = 101, SEP = 102, FIRST_WORD = 1000, SHORTEST = 20 };

typedef struct state {
    aligner model;
    aligner_inputs inputs;
    int32_t *ids, *first; // of the batch's texts: (first[B]), (B + 1)
    int64_t batch;
    struct batch images; // where the encoder runs
    bool from_pixels;
} state;

// --- a batch -------------------------------------------------------------------------------------
static void exchange_if_greater(int64_t *a, int64_t *b) {
    const int64_t kept = *a;
    if (*a <= *b) return;
    *a = *b;
    *b = kept;
}

// Between SHORTEST and MOST, about 110 in the mean where that is 256: the second smallest of four.
static int64_t draw_length(int64_t *seed, int64_t most) {
    int64_t n[4];
    const int64_t least = most < SHORTEST ? 2 : SHORTEST;
    for (int i = 0; i < 4; i++) n[i] = least + bench_draw(seed, most - least + 1);
    for (int i = 1; i < 4; i++) exchange_if_greater(&n[0], &n[i]);
    for (int i = 2; i < 4; i++) exchange_if_greater(&n[1], &n[i]);
    return n[1];
}

static status make_texts(state *s, int64_t most) {
    int64_t seed = 84; // with it batches of 8, 16 and 32 all have about the mean
    rng_key key = {.seed = 1, .site = rng_site("bench")};
    status rc = mem_new(&s->first, s->batch + 1, "a batch's texts");
    if (rc) return rc;
    for (int64_t i = 0; i < s->batch; i++)
        s->first[i + 1] = s->first[i] + (int32_t)draw_length(&seed, most);
    rc = mem_new(&s->ids, s->first[s->batch], "a batch's tokens");
    if (rc) return rc;
    const uint32_t words = VOCABULARY - 1 - FIRST_WORD;
    for (int32_t i = 0; i < s->first[s->batch]; i++)
        s->ids[i] = FIRST_WORD + (int32_t)rng_below(key, 0, (uint64_t)i, words);
    for (int64_t i = 0; i < s->batch; i++) {
        s->ids[s->first[i]] = CLS;
        s->ids[s->first[i + 1] - 1] = SEP;
    }
    return STATUS_OK;
}

static status make_pixels(state *s, int size) {
    struct batch *b = &s->images;
    const rng_key key = {.seed = 3, .site = rng_site("bench")};
    const int64_t pixels = s->batch * size * size;
    b->count = b->global_count = s->batch;
    status rc = mem_new(&b->pixels, pixels, "a batch");
    if (!rc) rc = mem_new(&b->lut, s->batch * 256, "a batch");
    if (!rc) rc = mem_new(&b->labels, s->batch * CLASS_COUNT, "a batch");
    for (int64_t i = 0; i < pixels && !rc; i++)
        b->pixels[i] = (uint8_t)rng_below(key, 0, (uint64_t)i, 256);
    for (int64_t i = 0; i < s->batch * 256 && !rc; i++) b->lut[i] = (float)(i % 256) / 255;
    return rc;
}

static status make_batch(run *r, int64_t count) {
    state *s = r->state;
    const config *c = r->config;
    aligner_room room = {count, count, 0, (int)config_int(c, "data.size"), true};
    rng_key key = {.seed = 2, .site = rng_site("bench")};
    s->batch = r->samples = r->own_samples = count;
    status rc = make_texts(s, config_int(c, "data.max_tokens"));
    for (int64_t i = 0; i < count && !rc; i++)
        if (s->first[i + 1] - s->first[i] > room.most) room.most = s->first[i + 1] - s->first[i];
    if (!rc) rc = aligner_inputs_open(&s->inputs, r->device, &s->model, &room);
    if (rc) return rc;
    const tensor *x = &s->inputs.features;
    for (int64_t i = 0; i < tensor_count(x); i++)
        element_put(s->inputs.staging, i, 1e-3 * rng_below(key, 0, (uint64_t)i, 2000) - 1, x->type);
    s->from_pixels = !strcmp(config_text(c, "data.cache"), "off");
    return s->from_pixels ? make_pixels(s, room.size) : STATUS_OK;
}

// Takes it to the device in every step, as training does.
static status load_batch(run *r) {
    state *s = r->state;
    const tensor *x = &s->inputs.features;
    if (s->from_pixels)
        classifier_inputs_load(&s->inputs.pixels, r->device, &s->images, false);
    else
        r->device->upload(r->device, x->data, s->inputs.staging, tensor_bytes(x));
    aligner_batch_load(&s->inputs.batch, &(aligner_texts){
                                             .ids = s->ids,
                                             .text_first = s->first,
                                             .own = s->batch,
                                             .all = s->batch,
                                             .begin = VOCABULARY - 1,
                                         });
    r->kind = s->inputs.batch.kind;
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    aligner_losses l;
    tensor *features = aligner_input(&r->tape, &s->model, &s->inputs, s->from_pixels);
    aligner_loss(&r->tape, &s->model, &s->inputs.batch, features, &l);
    return l.sum;
}

static void release(run *r) {
    state *s = r->state;
    aligner_inputs_close(&s->inputs, r->device);
    mem_free(s->images.pixels);
    mem_free(s->images.lut);
    mem_free(s->images.labels);
    mem_free(s->ids);
    mem_free(s->first);
    mem_free(s);
    r->state = NULL;
}

static const stage bench_stage = {
    .name = "bench", .varies = true, .batch = load_batch, .loss = loss, .free = release};

// --- the work ------------------------------------------------------------------------------------
static double size_of(const linear_layer *l) { return (double)tensor_count(l->weight); }

static double size_of_feed(const bert_feed *f) { return size_of(&f->up) + size_of(&f->down); }

// Scores and sums of a sequence's attention, forward, in multiply-adds.
static double attended(const aligner_config *c, double queries, double keys) {
    return 2 * c->qformer.bert.width * queries * keys;
}

// Of both passes' layers, N rows of text in the first. The last layer's texts ask only where an
// answer is wanted: one row each in the first pass, the captions' in the second.
static double layer_flops(const state *s, int i) {
    const aligner_config *c = &s->model.config;
    const qformer_layer *l = &s->model.qformer.layer[i];
    const double B = (double)s->batch, Q = c->qformer.queries;
    const double cells = (double)s->model.image_tokens;
    const double N = s->first[s->batch], queries = 4 * B * Q, texts = 5 * N;
    const bool last = i == c->qformer.bert.layers - 1;
    const double asking = last ? B + N : texts;
    double sum = (queries + texts) * (size_of(&l->self.key) + size_of(&l->self.value));
    sum += (queries + asking) * (size_of(&l->self.query) + size_of(&l->self.out));
    sum += queries * size_of_feed(&l->query) + asking * size_of_feed(&l->text);
    for (int64_t b = 0; b < s->batch; b++) {
        const double T = s->first[b + 1] - s->first[b], all = Q + T;
        sum += attended(c, Q, Q) + attended(c, last ? 1 : T, T);
        sum += 3 * attended(c, last ? Q : all, all);
        sum += attended(c, T, Q + T / 2); // no word sees those behind it
    }
    if (!l->looks) return sum;
    sum += queries * (size_of(&l->cross.query) + size_of(&l->cross.out) + attended(c, 1, cells));
    return sum + B * cells * (size_of(&l->cross.key) + size_of(&l->cross.value));
}

// Of one pair's step. A wrong text counts as one of the mean length. What trains goes through
// thrice, the frozen projector once.
static double pair_flops(const state *s) {
    const aligner *m = &s->model;
    const qformer *q = &m->qformer;
    const double B = (double)s->batch, Q = q->config.queries, cells = (double)m->image_tokens;
    const double words = (double)tensor_count(q->embeddings.word);
    double sum = (double)s->first[s->batch] * (size_of(&q->transform) + words);
    sum += B * (Q * size_of(&q->vision_proj) + size_of(&q->text_proj));
    sum += 3 * B * Q * size_of(&q->itm_head);
    for (int i = 0; i < q->config.bert.layers; i++) sum += layer_flops(s, i);
    double frozen = (double)tensor_count(m->encoder.project1.weight);
    frozen += (double)tensor_count(m->encoder.project2.weight);
    const double seen = s->from_pixels ? bench_encoder_flops(&m->encoder) : 0;
    return 2 * (3 * sum / B + cells * frozen) + seen;
}

// --- training ------------------------------------------------------------------------------------
static status open_model(run *r, bench *b) {
    aligner_config sizes;
    state *s = NULL;
    if (b->batch == 1)
        return status_fail(STATUS_USAGE, "bench: --batch 1: contrast needs at least two samples");
    status rc = aligner_from_config(&sizes, b->config, NULL);
    if (!rc) rc = run_open(r, &bench_stage, b->config);
    if (!rc) rc = mem_new(&s, 1, "a benchmark");
    if (rc) return rc;
    r->state = s;
    sizes.qformer.bert.vocabulary = VOCABULARY;
    aligner_make(&s->model, &r->params, &sizes);
    params_freeze(&r->params, aligner_encoder_prefix);
    rc = run_build(r);
    if (!rc) rc = aligner_fill(&s->model, &r->params);
    return rc ? rc : make_batch(r, b->batch ? b->batch : 8);
}

static void report_run(bench *b, const run *r) {
    const state *s = r->state;
    bench_name(b, "aligner");
    bench_word(b, "precision", "precision", config_text(b->config, "run.precision"));
    bench_number(b, "threads", "threads", stream_threads(r->device->stream), 0);
    bench_number(b, "batch", "pairs in a batch", (double)s->batch, 0);
    bench_number(b, "tokens", "tokens of their texts", s->first[s->batch], 0);
    bench_number(b, "parameters", "parameters that train", bench_trained(r), 0);
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
}

status bench_aligner(bench *b) {
    run r = {0};
    double value = 0;
    status rc = open_model(&r, b);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = bench_peak(&b->peak, r.device);
    if (!rc) rc = bench_plan_training(&r); // as if all texts had the longest's length
    if (!rc) rc = bench_time_training(b, &r, &value);
    if (!rc) {
        const state *s = r.state;
        double memory = bench_peak_memory();
        report_run(b, &r);
        rc = bench_report_times(b, &r, "pair", s->batch, pair_flops(s), memory);
        bench_number(b, "loss", "loss of the last step", value, 4);
    }
    run_close(&r);
    return rc;
}
