#include "train/language_data.h"

#include <stdio.h>
#include <string.h>

// --- opening ------------------------------------------------------------------------------------
static status list_records(language_split *s, const language_options *o) {
    const int64_t all = instruct_count(s->data, s->split);
    s->count = o->limit && o->limit < all ? o->limit : all;
    status rc = mem_new(&s->record, s->count ? s->count : 1, "records");
    for (int64_t i = 0; i < s->count && !rc; i++) {
        const int32_t length = instruct_length(s->data, s->split, i);
        s->record[i] = i;
        if (length > o->pack_tokens)
            rc = status_fail(STATUS_FORMAT, "record %lld of the %s split has %d tokens, more than a "
                                            "piece holds: raise train.pack_tokens (%lld)",
                             (long long)i, split_names[s->split], length,
                             (long long)o->pack_tokens);
    }
    return rc;
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
    if (!rc) rc = mem_new(&s->item, most, "a batch's conversations");
    return rc ? rc : mem_new(&s->piece, most, "a batch's pieces");
}

void language_split_close(language_split *s) {
    order_close(s->order);
    mem_free(s->record);
    mem_free(s->batch);
    mem_free(s->item);
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

// Buffers move while they grow: items hold numbers of elements until all are there.
static status read_item(language_split *s, const language_options *o, language_item *item,
                        int64_t i) {
    instruct_record r;
    status rc = instruct_read(s->data, s->split, s->batch[i], &r);
    if (rc) return rc;
    *item = (language_item){
        .sample = {.count = r.count,
                   .spans = o->everything ? 1 : r.spans,
                   .sample = i,
                   .weight = weight_of(s, o, i)},
        .first_image = (int64_t)(s->images.length / sizeof(size_t)),
        .images = r.images,
    };
    buffer_append(&s->ids, (const char *)r.ids, (size_t)r.count * sizeof *r.ids);
    add_spans(s, o, &r);
    for (int k = 0; k < r.images; k++) {
        const size_t place = s->names.length;
        buffer_append(&s->images, (const char *)&place, sizeof place);
        buffer_append(&s->names, r.image[k], strlen(r.image[k]) + 1);
    }
    const buffer *const all[] = {&s->ids, &s->spans, &s->images, &s->names};
    for (int k = 0; k < 4 && !rc; k++) rc = all[k]->failed;
    return rc;
}

static void point_items(language_split *s) {
    const int32_t *ids = (const int32_t *)(const void *)s->ids.data;
    const int32_t *span = (const int32_t *)(const void *)s->spans.data;
    for (int64_t i = 0; i < s->step.count; i++) {
        llama_sample *x = &s->item[i].sample;
        x->ids = ids;
        x->span = span;
        ids += x->count;
        span += 2 * x->spans;
    }
}

static int32_t shared_of(const language_split *s, const language_options *o,
                         const language_piece *p) {
    int32_t shared = 0;
    for (int64_t i = p->first; o->share && i + 1 < p->first + p->count; i++) {
        const llama_sample pair[2] = {s->item[p->first].sample, s->item[i + 1].sample};
        const int32_t same = llama_shared_prefix(pair, 2, o->image_token);
        if (i == p->first || same < shared) shared = same;
    }
    return shared;
}

static int64_t rows_of(const language_split *s, const language_piece *p) {
    int64_t rows = p->shared;
    for (int64_t i = p->first; i < p->first + p->count; i++)
        rows += s->item[i].sample.count - p->shared;
    return rows;
}

// As many samples, in their order, as a piece's rows hold.
static void cut(language_split *s, const language_options *o) {
    s->pieces = 0;
    for (int64_t i = 0; i < s->step.count; i++) {
        language_piece *p = s->pieces ? &s->piece[s->pieces - 1] : NULL;
        if (p) {
            language_piece longer = {p->first, p->count + 1, 0};
            longer.shared = shared_of(s, o, &longer);
            if (rows_of(s, &longer) <= o->pack_tokens) {
                *p = longer;
                continue;
            }
        }
        s->piece[s->pieces++] = (language_piece){i, 1, 0};
    }
    if (!s->pieces) s->piece[s->pieces++] = (language_piece){0}; // a rank without work
}

status language_split_batch(language_split *s, const language_options *o, int64_t step) {
    order_batch(&s->step, s->batch, s->order, step);
    s->ids.length = s->spans.length = s->images.length = s->names.length = 0;
    s->targets = supervised_of(s, o, 0, s->step.global_count);
    s->tokens = 0;
    for (int64_t i = 0; i < s->step.global_count; i++)
        s->tokens += instruct_length(s->data, s->split, s->batch[i]);
    status rc = STATUS_OK;
    for (int64_t i = 0; i < s->step.count && !rc; i++)
        rc = read_item(s, o, &s->item[i], s->step.first + i);
    if (rc) return rc;
    point_items(s);
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

static status read_image(language_inputs *in, const char *id, embeddings *const *files, int count,
                         bool blank) {
    const int64_t numbers = in->queries * in->images.dim[1];
    if (blank) {
        memset(in->row, 0, (size_t)numbers * sizeof *in->row);
        return STATUS_OK;
    }
    for (int f = 0; f < count; f++) {
        const int64_t row = embeddings_find(files[f], id);
        if (row >= 0) return embeddings_read(in->row, files[f], row);
    }
    return status_fail(STATUS_FORMAT, "image %s is in none of the %d files of data.embeddings: "
                                      "`radialog embed` makes them", id, count);
}

static status load_images(language_inputs *in, device *d, const language_split *s,
                          const language_piece *p, embeddings *const *files, int count,
                          bool blank) {
    const int64_t numbers = in->queries * in->images.dim[1];
    const size_t *place = (const size_t *)(const void *)s->images.data;
    int64_t at = 0;
    for (int64_t i = p->first; i < p->first + p->count; i++)
        for (int k = 0; k < s->item[i].images; k++) {
            const char *id = s->names.data + place[s->item[i].first_image + k];
            status rc = read_image(in, id, files, count, blank);
            if (rc) return rc;
            for (int64_t e = 0; e < numbers; e++)
                element_put(in->staging, at++, (double)in->row[e], in->images.type);
        }
    in->images.dim[0] = in->batch.images.dim[0];
    d->upload(d, in->images.data, in->staging, tensor_bytes(&in->images));
    return STATUS_OK;
}

status language_inputs_load(language_inputs *in, device *d, const language_split *s, int64_t i,
                            embeddings *const *files, int count, bool blank, int32_t image_token) {
    const language_piece *p = &s->piece[i];
    llama_sample *sample = NULL;
    status rc = mem_new(&sample, p->count ? p->count : 1, "a piece's conversations");
    for (int64_t k = 0; k < p->count && !rc; k++) sample[k] = s->item[p->first + k].sample;
    if (!rc) llama_batch_load(&in->batch, sample, p->count, p->shared, image_token);
    if (!rc && in->images.data) rc = load_images(in, d, s, p, files, count, blank);
    mem_free(sample);
    return rc;
}

tensor *language_images(language_inputs *in) {
    return in->images.data ? &in->images : NULL;
}
