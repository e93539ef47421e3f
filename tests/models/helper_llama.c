#include "tests/models/helper_llama.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

enum { BEGIN = 1, END = 2, WORD = 3, MICRO = 2, SPANS = 2 };
static const int lengths[LLAMA_STEPS][LLAMA_SAMPLES] = {
    {17, 16, 21, 12}, {22, 19, 13, 16}, {14, 18, 20, 11}, {15, 17, 16, 20}, {19, 20, 14, 13}};

const double llama_lr = 1e-3, llama_eps = 1e-2; // as in llama.py
const char *const llama_case_names[LLAMA_CASES] = {"lora", "seven", "full", "tied"};

static bool is_whole(llama_case which) {
    return which >= LLAMA_FULL;
}

llama_config llama_case_config(llama_case which) {
    static const lora_config two = {
        .rank = 4, .alpha = 6, .targets = 2, .target = {"q_proj", "v_proj"}};
    static const lora_config seven = {
        .rank = 4,
        .alpha = 6,
        .targets = 7,
        .target = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}};
    return (llama_config){.vocabulary = LLAMA_IMAGE + 1,
                          .width = 32,
                          .inner = 48,
                          .positions = 32,
                          .layers = 3,
                          .heads = 4,
                          .key_heads = 4,
                          .head_width = 8,
                          .eps = 1e-6,
                          .rope = {.base = 10000},
                          .tied = which == LLAMA_TIED,
                          .image_width = is_whole(which) ? 0 : 24,
                          .lora = which == LLAMA_LORA    ? two
                                  : which == LLAMA_SEVEN ? seven
                                                         : (lora_config){0}};
}

safetensors *llama_case_open(llama_case which) {
    char name[64];
    snprintf(name, sizeof name, "llama_%s.safetensors", llama_case_names[which]);
    return golden_open(name);
}

// --- conversations ------------------------------------------------------------------------------
typedef struct conversation {
    int32_t ids[LLAMA_LONGEST], span[2 * SPANS];
    int count, spans, targets;
    bool image;
} conversation;

static int32_t word(const char *name, int i) {
    return WORD + (int32_t)(reference_uniform(name, i) * (LLAMA_IMAGE - WORD));
}

static void add_span(conversation *c, int first, int end) {
    c->span[2 * c->spans] = first;
    c->span[2 * c->spans++ + 1] = end;
    c->targets += end - (first > 0 ? first : 1);
}

// As sample() in the script.
static void draw_conversation(conversation *c, int step, int b, bool whole) {
    char name[64];
    snprintf(name, sizeof name, "step.%d.sample.%d", step, b);
    *c = (conversation){.count = lengths[step][b], .image = !whole && b < LLAMA_SAMPLES - 1};
    for (int i = 0; i < c->count; i++) c->ids[i] = word(i < LLAMA_PREFIX ? "prefix" : name, i);
    c->ids[0] = BEGIN;
    c->ids[c->count - 1] = END;
    if (!whole && b == 1) add_span(c, 9, 11);
    add_span(c, whole ? 0 : c->count - 2 - c->count % 4, c->count);
    for (int i = 0; i < LLAMA_QUERIES && c->image; i++) c->ids[LLAMA_PREFIX + i] = LLAMA_IMAGE;
}

// The mean over all tokens; with adapters, of the means of micro-batches of two.
static double weight_of(const conversation *c, int b, bool whole) {
    const int size = whole ? LLAMA_SAMPLES : MICRO, first = b / size * size;
    int targets = 0;
    for (int i = first; i < first + size; i++) targets += c[i].targets;
    return 1.0 / (targets * (LLAMA_SAMPLES / size));
}

// --- models -------------------------------------------------------------------------------------
static void fill_rotary(speaker *s, const safetensors *file) {
    int64_t n;
    float *values;
    double *table = golden_tensor(file, "rotary", -1, &n);
    ck_assert_int_eq(n, tensor_count(s->model.rotary));
    if (mem_new(&values, n, "rotary positions")) die("%s", status_text());
    for (int64_t i = 0; i < n; i++) values[i] = (float)table[i];
    if (param_fill(&s->base.params, "rotary", values)) die("%s", status_text());
    mem_free(values);
    mem_free(table);
}

void speaker_open(speaker *s, bool oracle, llama_case which, const llama_config *c,
                  const safetensors *file) {
    speaker_open_on(s, reference_device(oracle), which, c, file);
}

void speaker_open_on(speaker *s, device *d, llama_case which, const llama_config *c, const safetensors *file) {
    memset(s, 0, sizeof *s);
    s->which = which;
    params *p = &s->base.params;
    const int64_t rows = LLAMA_SAMPLES * LLAMA_LONGEST, images = LLAMA_SAMPLES * LLAMA_QUERIES;
    reference_begin(&s->base, d);
    llama_make(&s->model, p, c);
    if (!is_whole(which)) {
        params_freeze(p, "model.");
        params_freeze(p, "lm_head.");
    }
    status rc = params_allocate(p);
    if (!rc) rc = llama_fill(&s->model, p);
    if (!rc)
        rc = llama_batch_open(&s->batch, d,
                              &(llama_room){.samples = LLAMA_SAMPLES + 1,
                                            .rows = rows,
                                            .images = images,
                                            .targets = rows,
                                            .most = LLAMA_LONGEST + 2});
    s->images = (tensor){.type = d->type, .rank = 2, .dim = {images, c->image_width}};
    if (!rc && c->image_width) rc = d->take(d, tensor_bytes(&s->images), "images", &s->images.data);
    if (!rc && c->image_width) rc = mem_take(&s->pixels, tensor_bytes(&s->images), 1, "images");
    if (rc) die("%s", status_text());
    reference_fill(&s->base);
    if (file) fill_rotary(s, file);
}

void speaker_close(speaker *s) {
    mem_free(s->pixels);
    s->base.device->release(s->base.device, s->images.data);
    llama_batch_close(&s->batch);
    reference_close(&s->base);
}

// --- batches ------------------------------------------------------------------------------------
// The images of samples that have one, behind each other; rows behind them are zeros.
static void load_images(speaker *s, const conversation *c, int step, int first, int count) {
    device *d = s->base.device;
    const int64_t each = LLAMA_QUERIES * s->images.dim[1];
    int64_t at = 0;
    s->images.dim[0] = s->batch.images.dim[0];
    memset(s->pixels, 0, tensor_bytes(&s->images));
    for (int b = first; b < first + count; b++) {
        char name[64];
        snprintf(name, sizeof name, "step.%d.image.%d", step, b);
        for (int64_t i = 0; i < each && c[b].image; i++)
            element_put(s->pixels, at++, reference_uniform(name, i) * 2 - 1, d->type);
    }
    d->upload(d, s->images.data, s->pixels, tensor_bytes(&s->images));
    d->wait(d);
}

void speaker_load(speaker *s, int step, int first, int count, bool share) {
    conversation c[LLAMA_SAMPLES];
    llama_sample list[LLAMA_SAMPLES];
    for (int b = 0; b < LLAMA_SAMPLES; b++) draw_conversation(&c[b], step, b, is_whole(s->which));
    for (int i = 0; i < count; i++) {
        const conversation *x = &c[first + i];
        list[i] = (llama_sample){.ids = x->ids,
                                 .count = x->count,
                                 .span = x->span,
                                 .spans = x->spans,
                                 .sample = first + i,
                                 .weight = weight_of(c, first + i, is_whole(s->which))};
    }
    const int32_t shared = share ? llama_shared_prefix(list, count, LLAMA_IMAGE) : 0;
    ck_assert_int_eq(shared, !share || count < 2 ? 0 : is_whole(s->which) ? 0 : LLAMA_PREFIX);
    llama_batch_load(&s->batch, list, count, shared, LLAMA_IMAGE);
    if (s->pixels) load_images(s, c, step, first, count);
}

tensor *speaker_loss(reference_model *m, void *context) {
    speaker *s = context;
    return llama_loss(&m->tape, &s->model, &s->batch, s->pixels ? &s->images : NULL);
}

tensor *speaker_logits(reference_model *m, void *context) {
    speaker *s = context;
    return llama_logits(&m->tape, &s->model, &s->batch, s->pixels ? &s->images : NULL);
}

double speaker_run(speaker *s, rule_mutation *change) {
    s->base.tape.training = true;
    s->base.tape.observe = rule_mutate;
    s->base.tape.observe_context = change;
    double *loss = reference_values(reference_run(&s->base, speaker_loss, s, true)), value = *loss;
    mem_free(loss);
    return value;
}

int speaker_slices(const speaker *s, optim_slice *slices) {
    const params *p = &s->base.params;
    int n = 0;
    for (size_t i = 0; i < p->count; i++) {
        const param *q = p->item[i];
        if (q->value.grad && q->grad.written)
            slices[n++] = (optim_slice){q->offset, tensor_count(&q->value), 1, 0};
    }
    return n;
}
