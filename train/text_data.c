#include "train/text_data.h"
#include "core/files/fs.h"
#include "core/log.h"

status vocabulary_open(wordpiece **out, buffer *text, const char *path, bool dec) {
    static const char *const extra[] = {"[DEC]"};
    const wordpiece_options options = {.extra = extra, .extras = dec ? 1 : 0};
    if (!*path)
        return status_fail(
            STATUS_USAGE,
            "model.vocabulary is not set: name a vocab.txt, BERT's or one of `radialog "
            "tokenizer train --type wordpiece`");
    status rc = file_read(path, 0, text);
    return rc ? rc : wordpiece_open_memory(out, path, text->data, text->length, &options);
}

status bert_from_config(bert_config *out, const config *c, const wordpiece *vocabulary) {
    *out = (bert_config){
        .vocabulary = vocabulary ? (int)wordpiece_count(vocabulary) : 0,
        .positions = (int)config_int(c, "model.positions"),
        .width = (int)config_int(c, "model.width"),
        .layers = (int)config_int(c, "model.layers"),
        .heads = (int)config_int(c, "model.heads"),
        .inner = (int)config_int(c, "model.inner"),
        .dropout = config_float(c, "model.dropout"),
    };
    if (out->width % out->heads || out->width / out->heads > 256)
        return config_fail(c, "model.width",
                           "is %d: it must be a multiple of model.heads %d, and a head at most 256",
                           out->width, out->heads);
    if (config_int(c, "data.max_tokens") > out->positions)
        return config_fail(c, "data.max_tokens",
                           "is %lld, but there are only %d positions (model.positions)",
                           (long long)config_int(c, "data.max_tokens"), out->positions);
    return STATUS_OK;
}

// --- a split ------------------------------------------------------------------------------------
static status open_order(text_split *s, const config *c, bool training, const comm *ranks) {
    const order_options options = {
        .batch = config_int(c, "train.batch"),
        .rank = ranks ? ranks->rank : 0,
        .ranks = ranks ? ranks->size : 1,
        .seed = (uint64_t)config_int(c, "run.seed"),
        .shuffle = training,
        .drop_last = training && config_bool(c, "train.drop_last"),
    };
    return order_open(&s->order, s->record, s->count, &options);
}

// Room for one batch.
static status open_batch(text_split *s, int64_t most) {
    const int64_t tokens = most * texts_longest(s->texts);
    status rc = mem_new(&s->batch, most, "a batch's records");
    if (!rc) rc = mem_new(&s->first, most + 1, "a batch's texts");
    if (!rc) rc = mem_new(&s->group, most, "a batch's groups");
    return rc ? rc : mem_new(&s->ids, tokens, "a batch's tokens");
}

static status list_records(text_split *s, const dataset *set, const loader *images, int split,
                           int need, int64_t limit) {
    if (!images) return order_list(&s->record, &s->count, set, split, need, limit);
    s->count = loader_records(images);
    status rc = mem_new(&s->record, s->count, "records");
    for (int64_t i = 0; i < s->count && !rc; i++) s->record[i] = loader_record(images, i);
    return rc;
}

status text_split_open(text_split *s, const dataset *set, const loader *images, const config *c,
                       int split, bool training, const comm *ranks, const wordpiece *w,
                       text_rule rule) {
    const record_text kind =
        (record_text)config_choice(c, "data.section"); // as RECORD_TEXT_LIST begins
    const text_options options = {
        .rule = rule,
        .most = (int)config_int(c, "data.max_tokens"),
        .threads = (int)config_int(c, "data.threads"),
    };
    *s = (text_split){0};
    status rc =
        list_records(s, set, images, split, (int)kind, training ? config_int(c, "data.limit") : 0);
    if (!rc) rc = open_order(s, c, training, ranks);
    if (!rc) rc = texts_open(&s->texts, set, s->record, s->count, kind, w, &options);
    return rc ? rc : open_batch(s, order_most(s->order));
}

void text_split_close(text_split *s) {
    mem_free(s->ids);
    mem_free(s->group);
    mem_free(s->first);
    mem_free(s->batch);
    texts_close(s->texts);
    order_close(s->order);
    mem_free(s->record);
    *s = (text_split){0};
}

void text_split_tell(const text_split *s, const char *name) {
    log_info("%s: %lld texts of %.1f tokens on average, the longest of %d; %lld were cut", name,
             (long long)s->count, (double)texts_total(s->texts) / (double)s->count,
             texts_longest(s->texts), (long long)texts_truncated(s->texts));
}

void text_split_batch(text_split *s, int64_t step) {
    order_batch(&s->step, s->batch, s->order, step);
    texts_pack(s->ids, s->first, s->texts, s->batch, s->step.global_count);
}
