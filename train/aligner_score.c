#include "train/aligner_score.h"
#include "train/ranks.h"

#include <stdio.h>
#include <string.h>

// Similarities are taken by tiles of so many images and texts.
enum { TILE = 256, PARTS = 3, MATCH = 1 };

// --- batches ------------------------------------------------------------------------------------
// Groups that are no negatives of each other, as loss.negatives says: (B); NULL: none.
static const int32_t *groups_of(text_split *texts, const config *c, int64_t count) {
    const int choice = config_choice(c, "loss.negatives"); // all, other_text, other_study
    if (!choice) return NULL;
    for (int64_t i = 0; i < count; i++)
        texts->group[i] = choice == 1 ? texts_group(texts->texts, texts->batch[i])
                                      : texts_study(texts->texts, texts->batch[i]);
    return texts->group;
}

static status load_pixels(aligner_inputs *in, device *d, const aligner_images *images,
                          text_split *texts, int64_t step) {
    batch *b;
    status rc = loader_seek(images->loader, step);
    if (!rc) rc = loader_next(images->loader, &b);
    if (rc) return rc;
    classifier_inputs_load(&in->pixels, d, b, images->blank);
    if (memcmp(texts->batch, b->global, (size_t)b->global_count * sizeof *b->global))
        die("aligner_step_load: images and texts of step %lld are of different records",
            (long long)step);
    return STATUS_OK;
}

status aligner_step_load(aligner_inputs *in, device *d, const aligner_images *images,
                         text_split *texts, int64_t step, const config *c, int32_t begin) {
    const order_step *now = &texts->step;
    text_split_batch(texts, step);
    aligner_batch_load(&in->batch, &(aligner_texts){
                                       .ids = texts->ids,
                                       .text_first = texts->first,
                                       .group = groups_of(texts, c, now->global_count),
                                       .own = now->count,
                                       .all = now->global_count,
                                       .first = now->first,
                                       .begin = begin,
                                   });
    if (!images->file) return load_pixels(in, d, images, texts, step);
    return aligner_inputs_features(in, d, images->file, images->data, texts->batch + now->first,
                                   now->count);
}

// --- what is collected --------------------------------------------------------------------------
typedef struct collected {
    int64_t count, steps, Q, E;
    bool alone;            // the last batch is a single sample, which has no negatives
    float *images, *texts; // (count, Q, E), (count, E)
    float *logits;         // (3, count, 2)
    float *losses;         // (steps, PARTS)
    int64_t *group;        // (count)
    uint8_t *targets;      // (3, count)
    float *scratch;
    unsigned char *narrow; // a tile's images, then its texts, as the device has them
} collected;

static status collected_open(collected *k, const aligner *m, const text_split *texts,
                             int64_t room) {
    const qformer_config *q = &m->config.qformer;
    *k = (collected){.count = texts->count,
                     .steps = order_steps_per_epoch(texts->order),
                     .alone = (texts->count - 1) % order_most(texts->order) == 0,
                     .Q = q->queries,
                     .E = q->projection};
    status rc = mem_new(&k->images, k->count * k->Q * k->E, "features of images");
    if (!rc) rc = mem_new(&k->texts, k->count * k->E, "features of texts");
    if (!rc) rc = mem_new(&k->logits, 6 * k->count, "logits of pairs");
    if (!rc) rc = mem_new(&k->losses, PARTS * k->steps, "losses");
    if (!rc) rc = mem_new(&k->group, k->count, "groups of texts");
    if (!rc) rc = mem_new(&k->targets, 3 * k->count, "targets of pairs");
    if (!rc) rc = mem_new(&k->scratch, room > TILE * TILE ? room : TILE * TILE, "scores");
    if (!rc) rc = mem_new(&k->narrow, (size_t)(TILE * (k->Q + 1) * k->E) * sizeof(float), "features of a tile");
    for (int64_t i = 0; i < k->count && !rc; i++) {
        k->group[i] = texts_group(texts->texts, texts->record[i]);
        k->targets[i] = 1;
    }
    return rc;
}

static void collected_close(collected *k) {
    mem_free(k->scratch);
    mem_free(k->narrow);
    mem_free(k->targets);
    mem_free(k->group);
    mem_free(k->losses);
    mem_free(k->logits);
    mem_free(k->texts);
    mem_free(k->images);
}

// This rank's rows of the latest batch, which begin at sample FIRST of the split.
static void collect(collected *k, device *d, const aligner_losses *l, int64_t step, int64_t first) {
    const tensor *const loss[PARTS] = {l->contrast, l->match, l->caption};
    const int64_t own = l->text_features->dim[0];
    for (int i = 0; i < PARTS; i++) device_read(d, k->losses + step * PARTS + i, loss[i]);
    device_read(d, k->images + first * k->Q * k->E, l->image_features);
    device_read(d, k->texts + first * k->E, l->text_features);
    device_read(d, k->scratch, l->match_logits);
    for (int kind = 0; kind < 3; kind++)
        memcpy(k->logits + 2 * (kind * k->count + first), k->scratch + 2 * kind * own,
               (size_t)own * 2 * sizeof(float));
}

static status collect_all(collected *k, tape *t, const aligner *m, aligner_inputs *in,
                          const aligner_images *images, text_split *texts, const config *c,
                          int32_t begin) {
    status rc = STATUS_OK;
    const uint32_t step_before = t->step;
    t->step = UINT32_MAX; // the same draws in every validation
    for (int64_t step = 0;; step++) { // ranks agree before each step, whose sums wait for all, and once behind the last
        aligner_losses losses;
        if (!rc && step < k->steps) rc = aligner_step_load(in, t->device, images, texts, step, c, begin);
        rc = ranks_agree(t->comm, rc);
        if (rc || step == k->steps) break;
        const int64_t first = texts->step.first_sample + texts->step.first;
        tape_begin(t, false);
        t->training = false;
        t->first_sample = (uint32_t)first;
        aligner_loss(t, m, &in->batch, aligner_input(t, m, in, images->file == NULL), &losses);
        collect(k, t->device, &losses, step, first);
        rc = tape_failed(t);
    }
    t->step = step_before;
    if (!rc) rc = ranks_sum(t->comm, t->device, k->images, k->count * k->Q * k->E);
    if (!rc) rc = ranks_sum(t->comm, t->device, k->texts, k->count * k->E);
    if (!rc) rc = ranks_sum(t->comm, t->device, k->logits, 6 * k->count);
    return rc ? rc : ranks_sum(t->comm, t->device, k->losses, PARTS * k->steps);
}

// --- retrieval ----------------------------------------------------------------------------------
// ROWS of NUMBERS on the tape.
static void upload(tape *t, tensor *x, const float *numbers, unsigned char *narrow) {
    for (int64_t i = 0; i < tensor_count(x); i++) element_put(narrow, i, (double)numbers[i], x->type);
    t->device->upload(t->device, x->data, narrow, tensor_bytes(x));
}

// Of ROWS images from I on with COLUMNS texts from J on, (ROWS, COLUMNS); K NULL: in a dry run.
static tensor *similarities(tape *t, const collected *k, int64_t i, int64_t rows, int64_t j, int64_t columns,
                            int64_t Q, int64_t E) {
    tape_begin(t, false);
    tensor *image = tape_tensor(t, 3, (int64_t[]){rows, Q, E}), *text = tape_tensor(t, 2, (int64_t[]){columns, E});
    if (k) {
        upload(t, image, k->images + i * Q * E, k->narrow);
        upload(t, text, k->texts + j * E, k->narrow + tensor_bytes(image));
    }
    return max_similarity(t, image, text, false);
}

// Shows every tile to SEE.
static void each_tile(collected *k, tape *t, retrieval *r,
                      void (*see)(retrieval *r, retrieval_tile tile)) {
    for (int64_t i = 0; i < k->count; i += TILE)
        for (int64_t j = 0; j < k->count; j += TILE) {
            const int64_t rows = k->count - i < TILE ? k->count - i : TILE;
            const int64_t columns = k->count - j < TILE ? k->count - j : TILE;
            tensor *s = similarities(t, k, i, rows, j, columns, k->Q, k->E);
            device_read(t->device, k->scratch, s);
            see(r, (retrieval_tile){i, rows, j, columns, k->scratch, columns});
        }
}

static status retrieve(collected *k, tape *t, retrieval_scores *out) {
    retrieval r;
    status rc = retrieval_open(&r, k->group, k->count, k->group, k->count);
    if (rc) return rc;
    each_tile(k, t, &r, retrieval_hits);
    each_tile(k, t, &r, retrieval_compare);
    rc = tape_failed(t);
    if (!rc) rc = retrieval_measure(out, &r);
    retrieval_close(&r);
    return rc;
}

// --- all ----------------------------------------------------------------------------------------
void aligner_score_dry(tape *t, const aligner *m, aligner_inputs *in, bool from_pixels) {
    const qformer_config *q = &m->config.qformer;
    aligner_losses losses;
    tape_begin(t, false);
    t->training = false;
    aligner_loss(t, m, &in->batch, aligner_input(t, m, in, from_pixels), &losses);
    similarities(t, NULL, 0, TILE, 0, TILE, q->queries, q->projection);
}

// Of a sample that is alone in its batch the wrong pairs are made of itself: what is said of those,
// and the match loss that they are part of, says nothing.
static void mean_losses(aligner_scores *out, const collected *k) {
    double *const mean[PARTS] = {&out->contrast, &out->match, &out->caption};
    for (int64_t step = 0; step < k->steps; step++)
        for (int i = 0; i < PARTS; i++) {
            const int64_t steps = i == MATCH && k->alone ? k->steps - 1 : k->steps;
            if (step < steps) *mean[i] += (double)k->losses[step * PARTS + i] / (double)steps;
        }
    out->loss = out->contrast + out->match + out->caption;
}

static status measure(aligner_scores *out, collected *k, tape *t) {
    binary_counts counts = {0};
    status rc = STATUS_OK;
    *out = (aligner_scores){.count = k->count};
    mean_losses(out, k);
    for (int64_t kind = 0; kind < 3 && !rc; kind++)
        rc = binary_add(&counts, k->logits + 2 * kind * k->count, k->targets + kind * k->count,
                        kind && k->alone ? k->count - 1 : k->count);
    if (!rc) out->decision = binary_measure(&counts);
    return rc ? rc : retrieve(k, t, &out->retrieval);
}

status aligner_score(aligner_scores *out, tape *t, const aligner *m, aligner_inputs *in,
                     const aligner_images *images, text_split *texts, const config *c,
                     int32_t begin) {
    collected k = {0};
    status rc = ranks_agree(t->comm, collected_open(&k, m, texts, 6 * order_most(texts->order)));
    if (!rc) rc = collect_all(&k, t, m, in, images, texts, c, begin);
    if (!rc) rc = measure(out, &k, t);
    collected_close(&k);
    return rc;
}

static void direction_json(buffer *out, const char *name, const retrieval_score *r) {
    buffer_print(out, ",\"%s\":{", name);
    for (int i = 0; i < RETRIEVAL_DEPTHS; i++) {
        buffer_print(out, "%s\"recall_%d\":", i ? "," : "", retrieval_depths[i]);
        buffer_json_number(out, r->recall[i]);
    }
    buffer_text(out, ",\"chance_1\":");
    buffer_json_number(out, r->chance[0]);
    buffer_text(out, ",\"median_rank\":");
    buffer_json_number(out, r->median_rank);
    buffer_text(out, "}");
}

void aligner_scores_json(buffer *out, const aligner_scores *s) {
    const struct {
        const char *name;
        double value;
    } values[] = {{"loss", s->loss},
                  {"itc", s->contrast},
                  {"itm", s->match},
                  {"lm", s->caption},
                  {"itm_balanced_accuracy", s->decision.balanced_accuracy}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        buffer_print(out, "%s\"%s\":", i ? "," : "{", values[i].name);
        buffer_json_number(out, values[i].value);
    }
    direction_json(out, "image_to_text", &s->retrieval.image_to_text);
    direction_json(out, "text_to_image", &s->retrieval.text_to_image);
    buffer_text(out, "}");
}

status aligner_scores_table(buffer *out, const aligner_scores *s) {
    table t = {0};
    const retrieval_score *const way[] = {&s->retrieval.image_to_text, &s->retrieval.text_to_image};
    table_column(&t, "score");
    table_column(&t, "image to text");
    table_column(&t, "text to image");
    for (int i = 0; i < RETRIEVAL_DEPTHS; i++) {
        char name[32];
        snprintf(name, sizeof name, "recall@%d", retrieval_depths[i]);
        table_text(&t, name);
        for (int k = 0; k < 2; k++) table_number(&t, way[k]->recall[i], 3);
    }
    table_text(&t, "recall@1 by chance");
    for (int k = 0; k < 2; k++) table_number(&t, way[k]->chance[0], 4);
    table_text(&t, "median rank");
    for (int k = 0; k < 2; k++) table_number(&t, way[k]->median_rank, 1);
    status rc = table_write(&t, TABLE_PLAIN, out);
    table_free(&t);
    return rc;
}
