// A training step of the findings classifier, and the image encoder's inference, on random pixels. The
// weights are random too: time does not depend on them.
#include "train/bench.h"
#include "train/classifier_data.h"
#include "train/step.h"

typedef struct state {
    classifier model;
    classifier_inputs inputs;
    batch images;
    int size;
} state;

// --- a batch -------------------------------------------------------------------------------------------------
static status make_batch(run *r, int64_t count, int size) {
    float weight[CLASS_COUNT], mask[CLASS_COUNT];
    state *s = r->state;
    batch *b = &s->images;
    size_t pixels = (size_t)count * (size_t)size * (size_t)size;
    rng_key key = {.seed = 1, .site = rng_site("bench")};
    s->size = size;
    b->count = b->global_count = count;
    status rc = mem_new(&b->pixels, pixels, "a batch");
    if (!rc) rc = mem_new(&b->lut, count * 256, "a batch");
    if (!rc) rc = mem_new(&b->labels, count * CLASS_COUNT, "a batch");
    if (!rc) rc = classifier_inputs_open(&s->inputs, r->device, count, size);
    if (rc) return rc;
    for (size_t i = 0; i < pixels; i++) b->pixels[i] = (uint8_t)(rng_word(key, 0, i / 4) >> 8 * (i % 4));
    for (int64_t i = 0; i < count * 256; i++) b->lut[i] = (float)(i % 256) / 255;
    for (int64_t i = 0; i < count * CLASS_COUNT; i++)
        b->labels[i] = rng_below(key, 1, (uint64_t)i, 4) ? LABEL_NEGATIVE : LABEL_POSITIVE;
    for (int i = 0; i < CLASS_COUNT; i++) weight[i] = 2, mask[i] = 1;
    classifier_inputs_weigh(&s->inputs, r->device, weight, mask);
    r->samples = count;
    return STATUS_OK;
}

static void release(run *r) {
    state *s = r->state;
    classifier_inputs_close(&s->inputs, r->device);
    mem_free(s->images.pixels);
    mem_free(s->images.lut);
    mem_free(s->images.labels);
    mem_free(s);
    r->state = NULL;
}

// Takes it to the device in every step, as training does.
static status load_batch(run *r) {
    state *s = r->state;
    classifier_inputs_load(&s->inputs, r->device, &s->images, false);
    return STATUS_OK;
}

static tensor *loss(run *r) {
    state *s = r->state;
    return classifier_loss(&r->tape, &s->model, &s->inputs, (double)r->samples * CLASS_COUNT);
}

static const stage bench_stage = {.name = "bench", .batch = load_batch, .loss = loss, .free = release};

// --- both ----------------------------------------------------------------------------------------------------
static status open_model(run *r, bench *b, int64_t standard_batch, bool trains) {
    classifier_config sizes;
    state *s = NULL;
    status rc = classifier_from_config(&sizes, b->config);
    if (!rc) rc = run_open(r, &bench_stage, b->config);
    if (!rc) rc = mem_new(&s, 1, "a benchmark");
    if (rc) return rc;
    r->state = s;
    classifier_make(&s->model, &r->params, &sizes);
    if (!trains) params_freeze(&r->params, "");
    rc = run_build(r);
    if (!rc) rc = classifier_fill(&s->model, &r->params);
    return rc ? rc : make_batch(r, b->batch ? b->batch : standard_batch, sizes.encoder.image_size);
}

static void report_run(bench *b, const run *r) {
    const state *s = r->state;
    bench_word(b, "precision", "precision", config_text(b->config, "run.precision"));
    bench_number(b, "threads", "threads", stream_threads(r->device->stream), 0);
    bench_number(b, "batch", "images in a batch", (double)s->images.count, 0);
    bench_number(b, "size", "pixels a side", s->size, 0);
    bench_number(b, "rounds", "timed rounds", (double)b->rounds, 0);
}

// --- training ------------------------------------------------------------------------------------------------
status bench_classifier(bench *b) {
    run r = {0};
    double value = 0;
    status rc = open_model(&r, b, 8, true);
    if (!rc) rc = step_open(&r);
    if (!rc) rc = bench_peak(&b->peak, r.device);
    if (!rc) rc = bench_plan_training(&r);
    if (!rc) rc = bench_time_training(b, &r, &value);
    if (!rc) {
        const state *s = r.state;
        double image = 3 * bench_classifier_flops(&s->model) - bench_stem_flops(&s->model.encoder);
        double memory = bench_peak_memory();
        bench_name(b, "classifier");
        report_run(b, &r);
        rc = bench_report_times(b, &r, "image", s->images.count, image, memory);
        bench_number(b, "loss", "loss of the last step", value, 4);
    }
    run_close(&r);
    return rc;
}

// --- inference -----------------------------------------------------------------------------------------------
typedef struct embeddings {
    float *patches; // (B, grid, grid, 2 D)
    float *pooled;  // (B, 2 D)
} embeddings;

static status embed(run *r, const embeddings *out) {
    state *s = r->state;
    tape *t = &r->tape;
    if (t->activation_block) classifier_inputs_load(&s->inputs, r->device, &s->images, false);
    tape_begin(t, false);
    t->training = false;
    tensor *image = classifier_images(t, &s->inputs);
    tensor *patches = biovil_t_patches(t, &s->model.encoder, image, NULL);
    tensor *pooled = biovil_t_pooled(t, patches);
    if (t->device == r->dry) return STATUS_OK;
    device_read(r->device, out->patches, patches);
    device_read(r->device, out->pooled, pooled);
    return tape_failed(t);
}

static status time_encoder(bench *b, run *r) {
    const state *s = r->state;
    const biovil_t *m = &s->model.encoder;
    embeddings out = {0};
    int64_t pooled = s->images.count * 2 * m->config.vit_width, patches = pooled * m->grid * m->grid;
    status rc = mem_new(&out.patches, patches, "embeddings");
    if (!rc) rc = mem_new(&out.pooled, pooled, "embeddings");
    if (!rc) rc = embed(r, &out);
    if (!rc) rc = tape_allocate(&r->tape, tape_used(&r->tape));
    for (int64_t i = -b->warmup; i < b->rounds && !rc; i++) {
        rc = bench_begin(b, i);
        if (!rc) rc = embed(r, &out);
        if (!rc) bench_end(b, i);
    }
    mem_free(out.pooled);
    mem_free(out.patches);
    return rc;
}

status bench_encoder(bench *b) {
    run r = {0};
    status rc = open_model(&r, b, 8, false);
    if (!rc) rc = bench_peak(&b->peak, r.device);
    if (!rc) rc = time_encoder(b, &r);
    if (!rc) {
        const state *s = r.state;
        double memory = bench_peak_memory();
        bench_name(b, "encoder");
        report_run(b, &r);
        double image = bench_encoder_flops(&s->model.encoder);
        rc = bench_report_times(b, &r, "image", s->images.count, image, memory);
    }
    run_close(&r);
    return rc;
}
