#include "train/classifier_data.h"

#include <string.h>

status classifier_from_config(classifier_config *out, const config *c) {
    *out = (classifier_config){
        .pool = (int)config_int(c, "model.pool"),
        .hidden = (int)config_int(c, "model.hidden"),
        .classes = CLASS_COUNT,
    };
    biovil_t_config *e = &out->encoder;
    e->image_size = (int)config_int(c, "data.size");
    e->stem = (int)config_int(c, "model.stem");
    e->stages = config_ints(c, "model.widths", e->width, BIOVIL_MAX_STAGES);
    int stages = config_ints(c, "model.blocks", e->blocks, BIOVIL_MAX_STAGES);
    e->vit_width = (int)config_int(c, "model.vit_width");
    e->pooler_blocks = (int)config_int(c, "model.pooler_blocks");
    e->pooler_heads = (int)config_int(c, "model.pooler_heads");
    e->joint_width = (int)config_int(c, "model.joint_width");
    if (e->stages != BIOVIL_MAX_STAGES || stages != BIOVIL_MAX_STAGES)
        return status_fail(STATUS_USAGE, "model.widths and model.blocks need four numbers each, for "
                                         "four stages; they have %d and %d", e->stages, stages);
    if (e->vit_width % e->pooler_heads || e->vit_width % 4)
        return status_fail(STATUS_USAGE, "model.vit_width %d must be a multiple of 4 and of "
                                         "model.pooler_heads %d", e->vit_width, e->pooler_heads);
    int grid = (e->image_size + 31) / 32;
    if (grid < out->pool)
        return status_fail(STATUS_USAGE, "data.size %d gives a grid of %d cells, fewer than model.pool "
                                         "%d; use at least %d pixels", e->image_size, grid, out->pool,
                           32 * out->pool - 31);
    if (config_int(c, "data.size") > config_int(c, "data.crop"))
        return status_fail(STATUS_USAGE, "data.size %d is larger than data.crop %lld", e->image_size,
                           (long long)config_int(c, "data.crop"));
    return STATUS_OK;
}

loader_options loader_from_config(const config *c, int split, bool training) {
    return (loader_options){
        .split = split,
        .batch = config_int(c, "train.batch"),
        .ranks = 1,
        .crop = (int)config_int(c, "data.crop"),
        .size = (int)config_int(c, "data.size"),
        .seed = (uint64_t)config_int(c, "run.seed"),
        .shuffle = training,
        .augment = training && config_bool(c, "data.augment"),
        .need_findings = true,
        .skip_bad = config_bool(c, "data.skip_bad"),
        .limit = training ? config_int(c, "data.limit") : 0,
        .threads = (int)config_int(c, "data.threads"),
    };
}

device_batch batch_to_device(tape *t, const batch *b, int64_t count, int size, bool blank) {
    device *d = t->device;
    int64_t n = b ? b->count : count;
    tensor *bytes = tape_tensor_of(t, DTYPE_U8, 3, (int64_t[]){n, size, size});
    tensor *lut = tape_tensor_of(t, DTYPE_F32, 2, (int64_t[]){n, 256});
    tensor *target = tape_tensor_of(t, DTYPE_U8, 2, (int64_t[]){n, CLASS_COUNT});
    if (b) {
        uint8_t *positive = tape_keep(t, (size_t)n * CLASS_COUNT);
        for (int64_t i = 0; i < n * CLASS_COUNT; i++) positive[i] = b->labels[i] == LABEL_POSITIVE;
        if (blank)
            d->zero(d, bytes->data, tensor_bytes(bytes));
        else
            d->upload(d, bytes->data, b->pixels, tensor_bytes(bytes));
        d->upload(d, lut->data, b->lut, tensor_bytes(lut));
        d->upload(d, target->data, positive, tensor_bytes(target));
    }
    return (device_batch){image_from_bytes(t, bytes, lut), target};
}

void classifier_score_dry(tape *t, const classifier *m, int64_t batch_size, int size) {
    tape_begin(t, false);
    t->training = false;
    classifier_logits(t, m, batch_to_device(t, NULL, batch_size, size, false).image);
}

status classifier_score(tape *t, const classifier *m, loader *l, int size,
                        bool blank, float *logits, uint8_t *targets, int64_t *record,
                        metric_mean *batch_f1) {
    int64_t steps = loader_steps_per_epoch(l), done = 0;
    status rc = loader_seek(l, 0);
    for (int64_t step = 0; step < steps && !rc; step++) {
        batch *b;
        rc = loader_next(l, &b);
        if (rc) break;
        tape_begin(t, false);
        t->training = false;
        tensor *y = classifier_logits(t, m, batch_to_device(t, b, 0, size, blank).image);
        float *out = logits + done * CLASS_COUNT;
        device_read(t->device, out, y);
        rc = tape_failed(t);
        for (int64_t i = 0; targets && i < b->count * CLASS_COUNT; i++)
            targets[done * CLASS_COUNT + i] = b->labels[i] == LABEL_POSITIVE;
        if (record) memcpy(record + done, b->record, (size_t)b->count * sizeof *record);
        if (batch_f1)
            metric_mean_add(batch_f1,
                            metrics_batch_f1(out, targets + done * CLASS_COUNT, b->count, CLASS_COUNT),
                            b->count);
        done += b->count;
    }
    return rc;
}
