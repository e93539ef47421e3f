#include "train/classifier_data.h"
#include "train/ranks.h"

#include <string.h>

status encoder_from_config(biovil_t_config *out, const config *c) {
    *out = (biovil_t_config){
        .image_size = (int)config_int(c, "data.size"),
        .stem = (int)config_int(c, "model.stem"),
        .vit_width = (int)config_int(c, "model.vit_width"),
        .pooler_blocks = (int)config_int(c, "model.pooler_blocks"),
        .pooler_heads = (int)config_int(c, "model.pooler_heads"),
        .fused_norms = config_bool(c, "run.fused_norms"),
    };
    out->stages = config_ints(c, "model.widths", out->width, BIOVIL_MAX_STAGES);
    int stages = config_ints(c, "model.blocks", out->blocks, BIOVIL_MAX_STAGES);
    if (out->stages != BIOVIL_MAX_STAGES || stages != BIOVIL_MAX_STAGES)
        return status_fail(STATUS_USAGE, "model.widths and model.blocks need four numbers each, for "
                                         "four stages; they have %d and %d", out->stages, stages);
    if (out->vit_width % out->pooler_heads || out->vit_width % 4)
        return status_fail(STATUS_USAGE, "model.vit_width %d must be a multiple of 4 and of "
                                         "model.pooler_heads %d", out->vit_width, out->pooler_heads);
    if (config_int(c, "data.size") > config_int(c, "data.crop"))
        return status_fail(STATUS_USAGE, "data.size %d is larger than data.crop %lld", out->image_size,
                           (long long)config_int(c, "data.crop"));
    return STATUS_OK;
}

status classifier_from_config(classifier_config *out, const config *c) {
    *out = (classifier_config){
        .pool = (int)config_int(c, "model.pool"),
        .hidden = (int)config_int(c, "model.hidden"),
        .classes = CLASS_COUNT,
    };
    biovil_t_config *e = &out->encoder;
    status rc = encoder_from_config(e, c);
    if (rc) return rc;
    e->joint_width = (int)config_int(c, "model.joint_width");
    int grid = (e->image_size + 31) / 32;
    if (grid < out->pool)
        return status_fail(STATUS_USAGE, "data.size %d gives a grid of %d cells, fewer than model.pool "
                                         "%d; use at least %d pixels", e->image_size, grid, out->pool,
                           32 * out->pool - 31);
    return STATUS_OK;
}

loader_options loader_from_config(const config *c, int split, bool training, const comm *ranks) {
    return (loader_options){
        .split = split,
        .batch = config_int(c, "train.batch"),
        .rank = ranks ? ranks->rank : 0,
        .ranks = ranks ? ranks->size : 1,
        .crop = (int)config_int(c, "data.crop"),
        .size = (int)config_int(c, "data.size"),
        .seed = (uint64_t)config_int(c, "run.seed"),
        .shuffle = training,
        .augment = training && config_bool(c, "data.augment"),
        .need_text = true,
        .skip_bad = config_bool(c, "data.skip_bad"),
        .limit = training ? config_int(c, "data.limit") : 0,
        .threads = (int)config_int(c, "data.threads"),
    };
}

// --- what a step reads ---------------------------------------------------------------------------------
enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

// Lays the tensors out from BASE on (which may be NULL) and returns the bytes they take.
static size_t lay_out(classifier_inputs *in, char *base, int64_t rows, int size) {
    in->bytes = (tensor){.type = DTYPE_U8, .rank = 3, .dim = {rows, size, size}};
    in->lut = (tensor){.type = DTYPE_F32, .rank = 2, .dim = {rows, 256}};
    in->target = (tensor){.type = DTYPE_U8, .rank = 2, .dim = {rows, CLASS_COUNT}};
    in->weight = in->mask = (tensor){.type = DTYPE_F32, .rank = 1, .dim = {CLASS_COUNT}};
    tensor *all[] = {&in->bytes, &in->lut, &in->target, &in->weight, &in->mask};
    size_t at = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        all[i]->data = base ? base + at : NULL;
        at += aligned(tensor_bytes(all[i]));
    }
    return at;
}

size_t classifier_inputs_bytes(int64_t rows, int size) {
    classifier_inputs in;
    return lay_out(&in, NULL, rows, size);
}

status classifier_inputs_open(classifier_inputs *in, device *d, int64_t rows, int size) {
    *in = (classifier_inputs){0};
    status rc = d->take(d, classifier_inputs_bytes(rows, size), "a batch", &in->block);
    if (!rc) rc = mem_new(&in->positive, rows * CLASS_COUNT, "a batch");
    lay_out(in, in->block, rows, size);
    return rc;
}

void classifier_inputs_close(classifier_inputs *in, device *d) {
    mem_free(in->positive);
    d->release(d, in->block);
    *in = (classifier_inputs){0};
}

void classifier_inputs_load(classifier_inputs *in, device *d, const batch *b, bool blank) {
    in->bytes.dim[0] = in->lut.dim[0] = in->target.dim[0] = b->count;
    for (int64_t i = 0; i < b->count * CLASS_COUNT; i++)
        in->positive[i] = b->labels[i] == LABEL_POSITIVE;
    if (blank)
        d->zero(d, in->bytes.data, tensor_bytes(&in->bytes));
    else
        d->upload(d, in->bytes.data, b->pixels, tensor_bytes(&in->bytes));
    d->upload(d, in->lut.data, b->lut, tensor_bytes(&in->lut));
    d->upload(d, in->target.data, in->positive, tensor_bytes(&in->target));
}

void classifier_inputs_weigh(classifier_inputs *in, device *d, const float *weight, const float *mask) {
    d->upload(d, in->weight.data, weight, tensor_bytes(&in->weight));
    d->upload(d, in->mask.data, mask, tensor_bytes(&in->mask));
}

tensor *classifier_images(tape *t, classifier_inputs *in) {
    return image_from_bytes(t, &in->bytes, &in->lut);
}

tensor *classifier_loss(tape *t, const classifier *m, classifier_inputs *in, double count) {
    tensor *logits = classifier_logits(t, m, classifier_images(t, in));
    return sigmoid_cross_entropy(t, logits, &in->target, &in->weight, &in->mask, count);
}

// --- scoring -------------------------------------------------------------------------------------------
void classifier_score_dry(tape *t, const classifier *m, classifier_inputs *in) {
    tape_begin(t, false);
    t->training = false;
    classifier_logits(t, m, classifier_images(t, in));
}

static status score_batch(tape *t, const classifier *m, const batch *b, classifier_inputs *in, bool blank,
                          float *logits) {
    if (!b->count) return STATUS_OK; // fewer records than ranks
    tape_begin(t, false);
    t->training = false;
    classifier_inputs_load(in, t->device, b, blank);
    device_read(t->device, logits + b->first_sample * CLASS_COUNT,
                classifier_logits(t, m, classifier_images(t, in)));
    return tape_failed(t);
}

status classifier_score(tape *t, const classifier *m, loader *l, classifier_inputs *in, bool blank,
                        float *logits) {
    int64_t steps = loader_steps_per_epoch(l), count = loader_records(l) * CLASS_COUNT;
    memset(logits, 0, (size_t)count * sizeof *logits);
    status rc = loader_seek(l, 0);
    for (int64_t step = 0; step < steps && !rc; step++) {
        batch *b;
        rc = loader_next(l, &b);
        if (!rc) rc = score_batch(t, m, b, in, blank, logits);
    }
    rc = ranks_agree(t->comm, rc);
    return rc ? rc : ranks_sum(t->comm, t->device, logits, count);
}

void classifier_targets(uint8_t *targets, const loader *l, const dataset *set) {
    for (int64_t i = 0; i < loader_records(l); i++) {
        const int8_t *labels = dataset_labels(set, loader_record(l, i));
        for (int c = 0; c < CLASS_COUNT; c++) targets[i * CLASS_COUNT + c] = labels[c] == LABEL_POSITIVE;
    }
}

double classifier_batch_f1(const float *logits, const uint8_t *targets, int64_t records, int64_t size) {
    metric_mean mean = {0};
    for (int64_t first = 0; first < records; first += size) {
        int64_t n = records - first < size ? records - first : size, at = first * CLASS_COUNT;
        metric_mean_add(&mean, metrics_batch_f1(logits + at, targets + at, n, CLASS_COUNT), n);
    }
    return metric_mean_value(&mean);
}
