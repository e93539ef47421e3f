// Whether a merged base computes what the base with the adapter beside it computes: logits of both
// on the same random tokens, one model in memory after the other.
#include "core/log.h"
#include "core/rng.h"
#include "models/nn/quantise.h"
#include "models/ops/ops.h"
#include "train/export.h"
#include "train/language_model.h"

#include <math.h>
#include <string.h>

enum { TOKENS = 32, SEED = 1 };

typedef struct runner {
    device *device, *dry;
    comm *comm;
    params params;
    tape tape;
    llama model;
    llama_batch batch;
} runner;

// The linear layers' weights as FP8 keeps them, in f32: it rounds what meets them, too, which no merged model does.
static status round_base(params *p) {
    status rc = STATUS_OK;
    for (size_t i = 0; i < p->count && !rc; i++) {
        const param *x = p->item[i];
        const tensor *w = &x->value;
        quantise codes = {0};
        if (strncmp(x->name, "model.", 6) != 0 || !strstr(x->name, "_proj.") || w->rank != 2) continue;
        rc = quantise_open(&codes, QUANT_FP8, w->dim[0], w->dim[1]);
        if (!rc) rc = quantise_rows(&codes, w->data, 0, w->dim[0]);
        if (!rc) quantise_end(&codes);
        if (!rc) quantise_plain(&codes, w->data, 0, w->dim[0]);
        quantise_close(&codes);
    }
    return rc;
}

// A, NULL: none, beside the weights in FOLDER, whose numbers are those that A met.
static status open_model(runner *r, const char *folder, const llama_config *c, const adapter *a) {
    bool projection;
    status rc = device_open_cpu(&r->device, 0);
    if (!rc) r->device->ops = &op_kernels_cpu;
    if (!rc) rc = device_open_dry(&r->dry, r->device);
    if (!rc) rc = comm_open_single(&r->comm);
    if (!rc) rc = params_open(&r->params, r->device);
    if (!rc) rc = tape_init(&r->tape, r->device, r->dry, r->comm);
    if (rc) return rc;
    llama_make(&r->model, &r->params, c);
    const bool fp8 = a && !strcmp(a->storage, "fp8");
    language_freeze_base(&r->params, a && !fp8 ? a->storage : "plain");
    params_freeze(&r->params, "");
    rc = params_allocate(&r->params);
    if (!rc) rc = llama_fill(&r->model, &r->params);
    if (!rc) rc = llama_load_base(&r->params, folder, true);
    if (!rc && fp8) rc = round_base(&r->params);
    return rc || !a ? rc : llama_load_adapter(&r->params, a->file, &projection);
}

static void close_model(runner *r) {
    llama_batch_close(&r->batch);
    tape_free(&r->tape);
    params_close(&r->params);
    comm_close(r->comm);
    device_close(r->dry);
    device_close(r->device);
}

// Every token behind the first is predicted.
static status load_tokens(runner *r, int32_t count) {
    int32_t ids[TOKENS];
    const int32_t span[2] = {1, count};
    const rng_key key = {.seed = SEED, .site = rng_site("export.tokens")};
    const llama_sample sample = {.ids = ids, .count = count, .span = span, .spans = 1, .weight = 1};
    const llama_room room = {
        .samples = 1, .rows = count, .images = 0, .targets = count, .most = count};
    for (int32_t i = 0; i < count; i++)
        ids[i] = (int32_t)rng_below(key, 0, (uint64_t)i, (uint32_t)r->model.config.vocabulary);
    status rc = llama_batch_open(&r->batch, r->device, &room);
    if (!rc) llama_batch_load(&r->batch, &sample, 1, 0, -1);
    return rc;
}

static tensor *run_once(runner *r) {
    tape_begin(&r->tape, false);
    r->tape.training = false;
    return llama_logits(&r->tape, &r->model, &r->batch, NULL);
}

// (COUNT - 1, V), to be freed by mem_free.
static status logits_of(float **out, const char *folder, const llama_config *c, const adapter *a,
                        int32_t count) {
    runner r = {0};
    *out = NULL;
    status rc = open_model(&r, folder, c, a);
    if (!rc) rc = load_tokens(&r, count);
    if (!rc) {
        run_once(&r); // dry: sizes the tape
        rc = tape_allocate(&r.tape, tape_used(&r.tape));
    }
    if (!rc) rc = mem_new(out, (count - 1) * c->vocabulary, "logits");
    if (!rc) {
        device_read(r.device, *out, run_once(&r));
        rc = tape_failed(&r.tape);
    }
    close_model(&r);
    return rc;
}

status export_same_logits(const char *merged, const char *base, const llama_config *c,
                          const adapter *a) {
    float *wanted = NULL, *found = NULL;
    llama_config beside = *c;
    double apart = 0, norm = 0;
    const int32_t count = c->positions < TOKENS ? (int32_t)c->positions : TOKENS;
    beside.lora = a->lora;
    beside.image_width = a->image_weight ? a->image_weight->dim[1] : 0;
    status rc = logits_of(&wanted, base, &beside, a, count);
    if (!rc) rc = logits_of(&found, merged, c, NULL, count);
    for (int64_t i = 0; !rc && i < (count - 1) * c->vocabulary; i++) {
        const double difference = (double)found[i] - (double)wanted[i];
        apart += difference * difference;
        norm += (double)wanted[i] * (double)wanted[i];
    }
    mem_free(found);
    mem_free(wanted);
    if (rc) return rc;
    if (!(norm > 0 && sqrt(apart) <= EXPORT_LOGITS * sqrt(norm)))
        return status_fail(STATUS_FORMAT,
                           "%s: its logits are %.2g of their norm apart from those of "
                           "the base with the adapter, expected at most %g",
                           merged, sqrt(apart / norm), EXPORT_LOGITS);
    log_info("logits on %d random tokens: %.2g of their norm apart from the base with the adapter",
             count, sqrt(apart / norm));
    return STATUS_OK;
}
