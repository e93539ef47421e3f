#include "train/language_data.h"

#include <stdio.h>
#include <string.h>

// --- opening ------------------------------------------------------------------------------------
static status list_records(language_split *s, const language_options *o) {
    const int64_t all = instruct_count(s->data, s->split);
    const bool model = o->positions < o->pack_tokens;
    const int64_t most = model ? o->positions : o->pack_tokens;
    s->count = o->limit && o->limit < all ? o->limit : all;
    status rc = mem_new(&s->record, s->count ? s->count : 1, "records");
    for (int64_t i = 0; i < s->count && !rc; i++) {
        const int32_t length = instruct_length(s->data, s->split, i);
        s->record[i] = i;
        if (length > most)
            rc = status_fail(STATUS_FORMAT, "record %lld of the %s split has %d tokens, more than %s "
                                            "(%lld): %s",
                             (long long)i, split_names[s->split], length,
                             model ? "the model has positions" : "a piece holds", (long long)most,
                             model ? "make the conversations with a smaller instruct.cutoff"
                                   : "raise train.pack_tokens");
    }
    return rc;
}

int64_t language_longest(const instruct_set *data) {
    int64_t longest = 1;
    for (int split = SPLIT_TRAIN; split < SPLIT_COUNT; split++)
        if (instruct_longest(data, split) > longest) longest = instruct_longest(data, split);
    return longest;
}

status language_split_open(language_split *s, instruct_set *data, int split,
                           const language_options *o) {
    *s = (language_split){.data = data, .split = split};
    status rc = list_records(s, o);
    const order_options order = {
        .batch = o->batch,
        .rank = o->rank,
        .ranks = o->ranks,
        .seed = o->seed,
        .shuffle = o->shuffle,
        .drop_last = o->drop_last,
    };
    if (!rc) rc = order_open(&s->order, s->record, s->count, &order);
    const int64_t most = rc ? 0 : order_most(s->order);
    if (!rc) rc = mem_new(&s->batch, most, "a batch's records");
    if (!rc) rc = mem_new(&s->sample, most, "a batch's conversations");
    if (!rc) rc = mem_new(&s->first_image, most + 1, "a batch's images");
    return rc ? rc : mem_new(&s->piece, most, "a batch's pieces");
}

void language_split_close(language_split *s) {
    order_close(s->order);
    mem_free(s->record);
    mem_free(s->batch);
    mem_free(s->sample);
    mem_free(s->first_image);
    mem_free(s->piece);
    buffer_free(&s->ids);
    buffer_free(&s->spans);
    buffer_free(&s->images);
    buffer_free(&s->names);
    *s = (language_split){0};
}

// --- weights ------------------------------------------------------------------------------------
static int64_t supervised(const language_split *s, const language_options *o, int64_t i) {
    const int64_t record = s->batch[i];
    return o->everything ? instruct_length(s->data, s->split, record) - 1
                         : instruct_supervised(s->data, s->split, record);
}

static int64_t supervised_of(const language_split *s, const language_options *o, int64_t first,
                             int64_t end) {
    int64_t sum = 0;
    for (int64_t i = first; i < end; i++) sum += supervised(s, o, i);
    return sum;
}

// Of the supervised tokens of the global batch's sample I. A micro-batch in which nothing is
// supervised weighs nothing; the reference's mean would be 0 / 0.
static double weight_of(const language_split *s, const language_options *o, int64_t i) {
    if (o->weighting == WEIGHT_TOKEN) return s->targets ? 1 / (double)s->targets : 0;
    const int64_t all = s->step.global_count, size = o->micro_batch;
    const int64_t first = i / size * size, end = first + size < all ? first + size : all;
    const int64_t own = supervised_of(s, o, first, end), means = (all + size - 1) / size;
    return own ? 1 / ((double)own * (double)means) : 0;
}

// --- a batch ------------------------------------------------------------------------------------
static void add_spans(language_split *s, const language_options *o, const instruct_record *r) {
    const int32_t all[2] = {1, r->count};
    if (o->everything)
        buffer_append(&s->spans, (const char *)all, sizeof all);
    else
        buffer_append(&s->spans, (const char *)r->span, (size_t)r->spans * 2 * sizeof *r->span);
}

// This rank's sample I. Its ids and spans get their places once the buffers have stopped moving.
static status read_sample(language_split *s, const language_options *o, int64_t i) {
    instruct_record r;
    const int64_t place = s->step.first + i;
    status rc = instruct_read(s->data, s->split, s->batch[place], &r);
    if (rc) return rc;
    s->sample[i] = (llama_sample){.count = r.count,
                                  .spans = o->everything ? 1 : r.spans,
                                  .sample = place,
                                  .weight = weight_of(s, o, place)};
    buffer_append(&s->ids, (const char *)r.ids, (size_t)r.count * sizeof *r.ids);
    add_spans(s, o, &r);
    for (int k = 0; k < r.images; k++) {
        const size_t name = s->names.length;
        buffer_append(&s->images, (const char *)&name, sizeof name);
        buffer_append(&s->names, r.image[k], strlen(r.image[k]) + 1);
    }
    s->first_image[i + 1] = (int64_t)(s->images.length / sizeof(size_t));
    const buffer *const all[] = {&s->ids, &s->spans, &s->images, &s->names};
    for (int k = 0; k < 4 && !rc; k++) rc = all[k]->failed;
    return rc;
}

static void point_samples(language_split *s) {
    const int32_t *ids = (const int32_t *)(const void *)s->ids.data;
    const int32_t *span = (const int32_t *)(const void *)s->spans.data;
    for (int64_t i = 0; i < s->step.count; i++) {
        s->sample[i].ids = ids;
        s->sample[i].span = span;
        ids += s->sample[i].count;
        span += 2 * s->sample[i].spans;
    }
}

// As many samples, in their order, as a piece's rows hold.
static void cut(language_split *s, const language_options *o) {
    language_piece *p = s->piece;
    *p = (language_piece){0}; // stays empty for a rank without work
    for (int64_t i = 0; i < s->step.count; i++) {
        const llama_sample *first = &s->sample[p->first];
        const int32_t shared =
            o->share ? llama_shared_prefix(first, p->count + 1, o->image_token) : 0;
        if (p->count && llama_rows(first, p->count + 1, shared) > o->pack_tokens)
            *++p = (language_piece){i, 1, 0};
        else
            *p = (language_piece){p->first, p->count + 1, shared};
    }
    s->pieces = p - s->piece + 1;
}

status language_split_batch(language_split *s, const language_options *o, int64_t step) {
    order_batch(&s->step, s->batch, s->order, step);
    s->ids.length = s->spans.length = s->images.length = s->names.length = 0;
    s->targets = supervised_of(s, o, 0, s->step.global_count);
    s->tokens = 0;
    for (int64_t i = 0; i < s->step.global_count; i++)
        s->tokens += instruct_length(s->data, s->split, s->batch[i]);
    status rc = STATUS_OK;
    for (int64_t i = 0; i < s->step.count && !rc; i++) rc = read_sample(s, o, i);
    if (rc) return rc;
    point_samples(s);
    cut(s, o);
    return STATUS_OK;
}

// --- to the device ------------------------------------------------------------------------------
static tensor images_of(const device *d, const llama_room *room, int64_t width) {
    return (tensor){.type = d->type, .rank = 2, .dim = {room->images, width}};
}

size_t language_inputs_bytes(const device *d, const llama_room *room, int64_t image_width) {
    tensor images = images_of(d, room, image_width);
    return llama_batch_bytes(d, room) + tensor_bytes(&images);
}

status language_inputs_open(language_inputs *in, device *d, const llama_room *room,
                            int64_t image_width, int64_t queries) {
    *in = (language_inputs){.queries = queries, .images = images_of(d, room, image_width)};
    const size_t bytes = tensor_bytes(&in->images);
    status rc = llama_batch_open(&in->batch, d, room);
    if (rc || !bytes) return rc;
    rc = d->take(d, bytes, "image tokens of a piece", &in->images.data);
    if (!rc) rc = mem_take(&in->staging, bytes, 1, "image tokens of a piece");
    return rc ? rc : mem_new(&in->row, queries * image_width, "image tokens");
}

void language_inputs_close(language_inputs *in, device *d) {
    llama_batch_close(&in->batch);
    if (d) d->release(d, in->images.data);
    mem_free(in->staging);
    mem_free(in->row);
    *in = (language_inputs){0};
}

static status load_images(language_inputs *in, device *d, const language_split *s,
                          const language_piece *p, const embeddings *file, bool blank) {
    const int64_t numbers = in->queries * in->images.dim[1];
    const int64_t first = s->first_image[p->first], end = s->first_image[p->first + p->count];
    const size_t *name = (const size_t *)(const void *)s->images.data;
    status rc = STATUS_OK;
    if (blank) memset(in->row, 0, (size_t)numbers * sizeof *in->row);
    for (int64_t k = first; k < end && !rc; k++) {
        if (!blank) rc = language_image_read(in->row, file, s->names.data + name[k]);
        for (int64_t e = 0; e < numbers && !rc; e++)
            element_put(in->staging, (k - first) * numbers + e, (double)in->row[e],
                        in->images.type);
    }
    in->images.dim[0] = in->batch.images.dim[0];
    if (!rc) d->upload(d, in->images.data, in->staging, tensor_bytes(&in->images));
    return rc;
}

status language_inputs_load(language_inputs *in, device *d, const language_split *s, int64_t i,
                            const embeddings *file, bool blank, int32_t image_token) {
    const language_piece *p = &s->piece[i];
    llama_batch_load(&in->batch, &s->sample[p->first], p->count, p->shared, image_token);
    return file ? load_images(in, d, s, p, file, blank) : STATUS_OK;
}

tensor *language_images(language_inputs *in) {
    return in->images.data ? &in->images : NULL;
}

// --- image tokens -------------------------------------------------------------------------------
status language_images_open(embeddings **out, const char *path, const instruct_facts *f) {
    *out = NULL;
    if (!f->queries) return STATUS_OK;
    if (!*path)
        return status_fail(STATUS_USAGE, "data.embeddings: the conversations have images: name the "
                                         "file that `radialog embed` wrote");
    status rc = embeddings_open(out, path);
    if (!rc && (*out)->type != DTYPE_F32)
        rc = status_fail(STATUS_FORMAT, "%s: holds features, not the f32 embeddings of `radialog "
                                        "embed`", path);
    if (!rc && (*out)->queries != f->queries)
        rc = status_fail(STATUS_FORMAT, "%s: %d tokens an image, the conversations have %d", path,
                         (*out)->queries, f->queries);
    return rc;
}

const char *language_data_hash(char out[LANGUAGE_HASH_SIZE], const instruct_set *data, const embeddings *e) {
    snprintf(out, LANGUAGE_HASH_SIZE, "%s %s %s %s", instruct_plan(data), e ? e->checkpoint : "",
             e ? e->plan : "", e ? e->model : "");
    return out;
}

status language_image_read(float *out, const embeddings *file, const char *id) {
    const int64_t row = embeddings_find(file, id);
    if (row >= 0) return embeddings_read(out, file, row);
    return status_fail(STATUS_FORMAT, "image %s is not in %s: `radialog embed` makes it", id,
                       file->path);
}
