// Greedy matching of tokens by a RoBERTa's vectors. See bert_score.h.
#include "eval/bert_score.h"
#include "data/csv.h"
#include "data/sections.h"
#include "data/tokenizer.h"
#include "models/roberta.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXTS = 64,  // of a batch, at most; 2 or more
    ROWS = 4096, // tokens of a batch, or two of the longest texts
    ROW_STEP = 1024,
    LANES = 16,      // of a product of vectors: one vector register or two
    POSITIONS = 8192 // that are used of a model, at most
};

struct bert_score {
    device *device; // borrowed
    comm *comm;
    params params;
    tape tape;
    roberta_config config;
    bert model;
    tokenizer *tokens;
    int32_t begin, end; // ids
    int64_t most, rows; // tokens of a text, of a batch
    packed_texts texts;
    float *vectors; // (rows, D): of a batch, each of length 1
    float *best;    // (TEXTS / 2, 2, most): of a pair's tokens, the greatest cosine
    bool rescaled;
    bert_triple baseline;
    int64_t cut;
    char name[512];
};

void bert_score_close(bert_score *b) {
    if (!b) return;
    mem_free(b->best);
    mem_free(b->vectors);
    packed_texts_close(&b->texts);
    tape_free(&b->tape);
    params_close(&b->params);
    comm_close(b->comm);
    tokenizer_close(b->tokens);
    mem_free(b);
}

int64_t bert_score_cut(const bert_score *b) {
    return b->cut;
}

const char *bert_score_name(const bert_score *b) {
    return b->name;
}

// --- what unrelated texts reach -----------------------------------------------------------------
// Of distilroberta-base's layer 5 (REFERENCE 7.7).
static const bert_triple distilroberta = {0.84732, 0.84759504, 0.8473319};

static bool is_distilroberta(const roberta_config *c) {
    return c->layers == 6 && c->bert.layers == BERT_SCORE_LAYER && c->bert.width == 768 &&
           c->bert.heads == 12 && c->bert.vocabulary == 50265;
}

static status read_number(double *out, const csv *c, int column) {
    char *end;
    const char *text = csv_field(c, column);
    *out = strtod(text, &end);
    if (end == text || *end || !(fabs(*out) < 1))
        return status_fail(
            STATUS_FORMAT,
            "%s:%lld: \"%.40s\" is no baseline: a number between -1 and 1 is expected", csv_path(c),
            (long long)csv_line(c), text);
    return STATUS_OK;
}

static status read_baseline(bert_score *b, const char *path) {
    static const char *const names[] = {"LAYER", "P", "R", "F"};
    double *const value[] = {NULL, &b->baseline.precision, &b->baseline.recall, &b->baseline.f1};
    int column[4];
    bool more = true, bad = false;
    csv *c = NULL;
    status rc = csv_open(&c, path);
    for (int i = 0; i < 4 && !rc; i++) rc = csv_require(&column[i], c, names[i]);
    while (!rc && !b->rescaled) {
        rc = csv_next(c, &more, &bad);
        if (!rc && bad) rc = status_fail(STATUS_FORMAT, "%s", csv_reason(c));
        if (!rc && !more)
            rc = status_fail(STATUS_FORMAT, "%s: has no line for layer %d", path,
                             b->config.bert.layers);
        if (rc || strtol(csv_field(c, column[0]), NULL, 10) != b->config.bert.layers) continue;
        b->rescaled = true;
        for (int i = 1; i < 4 && !rc; i++) rc = read_number(value[i], c, column[i]);
    }
    csv_close(c);
    return rc;
}

static status choose_baseline(bert_score *b, const char *path) {
    char by[300] = "not rescaled";
    status rc = path ? read_baseline(b, path) : STATUS_OK;
    if (path)
        snprintf(by, sizeof by, "rescaled by %.250s", path);
    else if (is_distilroberta(&b->config)) {
        b->rescaled = true;
        b->baseline = distilroberta;
        snprintf(by, sizeof by, "rescaled by distilroberta-base's numbers");
    }
    snprintf(b->name, sizeof b->name, "layer %d of %d, width %d, %s", b->config.bert.layers,
             b->config.layers, b->config.bert.width, by);
    return rc;
}

// --- opening ------------------------------------------------------------------------------------
static status open_tokens(bert_score *b, const char *folder) {
    status rc = tokenizer_open(&b->tokens, folder);
    if (rc) return rc;
    b->begin = tokenizer_named(b->tokens).begin;
    b->end = tokenizer_named(b->tokens).end;
    if (b->begin < 0 || b->end < 0)
        return status_fail(STATUS_FORMAT, "%s: its tokenizer has no <s> or no </s>", folder);
    if (tokenizer_size(b->tokens) > b->config.bert.vocabulary)
        return status_fail(STATUS_FORMAT, "%s: its tokenizer has %d tokens, its model %d", folder,
                           tokenizer_size(b->tokens), b->config.bert.vocabulary);
    return STATUS_OK;
}

static tensor *forward(bert_score *b) {
    tape_begin(&b->tape, false);
    b->tape.training = false;
    return bert_hidden(&b->tape, &b->model, &b->texts, b->config.bert.layers);
}

// A dry run of COUNT texts that fill the rows.
static status measure(bert_score *b, int64_t count) {
    const int64_t length = b->rows / count < b->most ? b->rows / count : b->most;
    int32_t *ids = NULL, first[TEXTS + 1];
    status rc = mem_new(&ids, count * length, "a batch's tokens");
    for (int64_t i = 0; i <= count; i++) first[i] = (int32_t)(i * length);
    if (!rc) packed_texts_load(&b->texts, ids, first, count, 0);
    if (!rc) forward(b);
    mem_free(ids);
    return rc;
}

static status open_model(bert_score *b, const char *folder, device *d, device *dry) {
    status rc = comm_open_single(&b->comm);
    if (!rc) rc = params_open(&b->params, d);
    if (!rc) rc = tape_init(&b->tape, d, dry, b->comm);
    if (rc) return rc;
    roberta_make(&b->model, &b->params, &b->config);
    params_freeze(&b->params, "");
    rc = params_allocate(&b->params);
    if (!rc) rc = roberta_load(&b->params, folder);
    if (!rc) rc = packed_texts_open(&b->texts, d, TEXTS, b->most);
    if (rc) return rc;
    b->texts.first_position = b->config.first_position;
    rc = measure(b, b->rows / b->most); // few long texts, many short ones
    if (!rc) rc = measure(b, TEXTS);
    return rc ? rc : tape_allocate(&b->tape, tape_used(&b->tape));
}

// Room for the two longest texts of a pair. Devices that record steps round rows up
// (models/packed.h): by a whole number of these, if not to all that texts can have.
static int64_t rows_of(int64_t most) {
    const int64_t pair = (2 * most + ROW_STEP - 1) / ROW_STEP * ROW_STEP;
    const int64_t rows = pair > ROWS ? pair : ROWS;
    return rows < TEXTS * most ? rows : TEXTS * most;
}

status bert_score_open(bert_score **out, const char *folder, const bert_score_options *options,
                       device *d, device *dry) {
    bert_score *b = NULL;
    *out = NULL;
    status rc = mem_new(&b, 1, "BERTScore");
    if (rc) return rc;
    b->device = d;
    rc =
        roberta_config_read(&b->config, folder, options->layer ? options->layer : BERT_SCORE_LAYER);
    b->most = b->config.bert.positions < POSITIONS ? b->config.bert.positions : POSITIONS;
    b->rows = rows_of(b->most);
    if (!rc) rc = choose_baseline(b, options->baseline);
    if (!rc) rc = open_tokens(b, folder);
    if (!rc) rc = open_model(b, folder, d, dry);
    if (!rc) rc = mem_new(&b->vectors, b->rows * b->config.bert.width, "vectors of tokens");
    if (!rc) rc = mem_new(&b->best, TEXTS * b->most, "matches of tokens");
    if (rc)
        bert_score_close(b);
    else
        *out = b;
    return rc;
}

// --- tokens -------------------------------------------------------------------------------------
// The ids of all texts of a call: that of number i from FIRST[i] to FIRST[i + 1].
typedef struct token_lists {
    buffer ids;
    int64_t *first;
} token_lists;

static const int32_t *ids_of(const token_lists *l, int64_t i) {
    return (const int32_t *)(const void *)l->ids.data + l->first[i];
}

static int64_t length_of(const token_lists *l, int64_t i) {
    return l->first[i + 1] - l->first[i];
}

// RoBERTa's vocabulary knows words with a blank in front, so that the first one gets one too.
static status encode(bert_score *b, buffer *ids, buffer *text, buffer *scratch, const char *from) {
    const size_t start = ids->length;
    scratch->length = text->length = 0;
    findings_clean(scratch, from);
    buffer_text(scratch, ""); // a NUL, also behind nothing
    if (scratch->failed) return scratch->failed;
    buffer_text(text, " ");
    report_clean(text, scratch->data);
    buffer_append(ids, &b->begin, sizeof b->begin);
    status rc = text->failed;
    if (!rc && text->length > 1) rc = tokenizer_encode(b->tokens, text->data, text->length, ids);
    if (rc) return rc;
    const size_t room = (size_t)(b->most - 1) * sizeof b->end;
    if (ids->length - start > room) {
        ids->length = start + room;
        b->cut++;
    }
    buffer_append(ids, &b->end, sizeof b->end);
    return ids->failed;
}

// Pair i: its text is number 2 i, its reference 2 i + 1.
static status encode_all(bert_score *b, token_lists *l, const char *const *text,
                         const char *const *reference, int64_t count) {
    buffer clean = {0}, scratch = {0};
    status rc = mem_new(&l->first, 2 * count + 1, "places of tokens");
    for (int64_t i = 0; i < 2 * count && !rc; i++) {
        rc = encode(b, &l->ids, &clean, &scratch, i % 2 ? reference[i / 2] : text[i / 2]);
        l->first[i + 1] = (int64_t)(l->ids.length / sizeof(int32_t));
    }
    buffer_free(&scratch);
    buffer_free(&clean);
    return rc;
}

// --- matching -----------------------------------------------------------------------------------
// Every LANES-th number is summed apart, so that the sum depends on N alone, whatever the machine's
// registers.
static float product(const float *a, const float *b, int64_t n) {
    float sum[LANES] = {0}, all = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++) all += a[i] * b[i];
    for (int k = 0; k < LANES; k++) all += sum[k];
    return all;
}

static void normalise(float *rows, int64_t count, int64_t D) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        float *x = rows + i * D;
        double square = 0;
        for (int64_t j = 0; j < D; j++) square += (double)x[j] * x[j];
        const double norm = sqrt(square);
        for (int64_t j = 0; j < D && norm > 0; j++) x[j] = (float)(x[j] / norm);
    }
}

// The mean of BEST over the tokens that count; 0 where none does.
static double mean_of(const bert_score *b, const float *best, const int32_t *ids, int64_t count) {
    double sum = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] == b->begin || ids[i] == b->end) continue;
        sum += (double)best[i];
        counted++;
    }
    return counted ? sum / (double)counted : 0;
}

typedef struct matched_text {
    const int32_t *ids;   // (count)
    const float *vectors; // (count, D)
    int64_t count;
} matched_text;

static bert_triple rescale(const bert_score *b, bert_triple x) {
    if (!b->rescaled) return x;
    const bert_triple *l = &b->baseline;
    return (bert_triple){(x.precision - l->precision) / (1 - l->precision),
                         (x.recall - l->recall) / (1 - l->recall), (x.f1 - l->f1) / (1 - l->f1)};
}

// BEST has room for both texts' tokens.
static bert_triple match(const bert_score *b, const matched_text *x, const matched_text *y,
                         float *best) {
    float *best_x = best, *best_y = best + x->count;
    const int64_t D = b->config.bert.width;
    bert_triple out = {0};
    if (x->count == 2 || y->count == 2) return rescale(b, out);
    for (int64_t i = 0; i < x->count + y->count; i++) best[i] = -INFINITY;
    for (int64_t i = 0; i < x->count; i++)
        for (int64_t j = 0; j < y->count; j++) {
            const float cosine = product(x->vectors + i * D, y->vectors + j * D, D);
            if (cosine > best_x[i]) best_x[i] = cosine;
            if (cosine > best_y[j]) best_y[j] = cosine;
        }
    out.precision = mean_of(b, best_x, x->ids, x->count);
    out.recall = mean_of(b, best_y, y->ids, y->count);
    const double sum = out.precision + out.recall;
    out.f1 = sum != 0 ? 2 * out.precision * out.recall / sum : 0;
    return rescale(b, out);
}

// --- batches ------------------------------------------------------------------------------------
typedef struct pair_batch {
    int pairs, texts;
    int64_t pair[TEXTS / 2];
    int slot[TEXTS / 2][2]; // text and reference of a pair, as numbers of texts
    int64_t text[TEXTS];    // as numbers of the call's texts
    int32_t first[TEXTS + 1];
} pair_batch;

// The slot that holds text I already, or a new one: reports that stand often are computed once a
// batch.
static int slot_of(pair_batch *p, const token_lists *l, int64_t i) {
    const int64_t length = length_of(l, i);
    for (int k = 0; k < p->texts; k++)
        if (length_of(l, p->text[k]) == length &&
            !memcmp(ids_of(l, p->text[k]), ids_of(l, i), (size_t)length * sizeof(int32_t)))
            return k;
    p->text[p->texts] = i;
    p->first[p->texts + 1] = p->first[p->texts] + (int32_t)length;
    return p->texts++;
}

// Takes pairs of ORDER from AT on while there is room; returns where the next batch begins.
static int64_t fill(pair_batch *p, const bert_score *b, const token_lists *l, const int64_t *order,
                    int64_t at, int64_t count) {
    *p = (pair_batch){0};
    for (; at < count && p->pairs < TEXTS / 2; at++) {
        const int64_t i = order[at], tokens = length_of(l, 2 * i) + length_of(l, 2 * i + 1);
        if (p->first[p->texts] + tokens > b->rows) break;
        p->pair[p->pairs] = i;
        for (int side = 0; side < 2; side++) p->slot[p->pairs][side] = slot_of(p, l, 2 * i + side);
        p->pairs++;
    }
    return at;
}

static status run_batch(bert_score *b, const pair_batch *p, const token_lists *l, int32_t *ids) {
    for (int k = 0; k < p->texts; k++)
        memcpy(ids + p->first[k], ids_of(l, p->text[k]),
               (size_t)length_of(l, p->text[k]) * sizeof *ids);
    packed_texts_load(&b->texts, ids, p->first, p->texts, 0);
    tensor *hidden = forward(b);
    status rc = tape_failed(&b->tape);
    if (rc) return rc;
    if (hidden->dim[0] > b->rows) die("bert_score: %lld rows", (long long)hidden->dim[0]);
    device_read(b->device, b->vectors, hidden);
    normalise(b->vectors, p->first[p->texts], b->config.bert.width);
    return device_failed(b->device);
}

static void score_batch(const bert_score *b, const pair_batch *p, const int32_t *ids,
                        bert_triple *score) {
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < p->pairs; i++) {
        matched_text side[2];
        for (int k = 0; k < 2; k++) {
            const int32_t *first = &p->first[p->slot[i][k]];
            side[k] = (matched_text){ids + first[0],
                                     b->vectors + first[0] * (int64_t)b->config.bert.width,
                                     first[1] - first[0]};
        }
        score[p->pair[i]] = match(b, &side[0], &side[1], b->best + 2 * b->most * i);
    }
}

// By the length of the reference; pairs with the same one stand together, so that it is computed
// once.
typedef struct pair_key {
    const int32_t *ids; // of the reference
    int64_t tokens, pair;
} pair_key;

static int compare_keys(const void *a, const void *b) {
    const pair_key *x = a, *y = b;
    if (x->tokens != y->tokens) return x->tokens < y->tokens ? -1 : 1;
    const int order = memcmp(x->ids, y->ids, (size_t)x->tokens * sizeof *x->ids);
    return order ? order : (x->pair > y->pair) - (x->pair < y->pair);
}

static status order_pairs(int64_t *order, const token_lists *l, int64_t count) {
    pair_key *key = NULL;
    status rc = mem_new(&key, count, "lengths of texts");
    for (int64_t i = 0; i < count && !rc; i++)
        key[i] = (pair_key){ids_of(l, 2 * i + 1), length_of(l, 2 * i + 1), i};
    if (!rc) qsort(key, (size_t)count, sizeof *key, compare_keys);
    for (int64_t i = 0; i < count && !rc; i++) order[i] = key[i].pair;
    mem_free(key);
    return rc;
}

status bert_score_pairs(bert_score *b, bert_triple *score, const char *const *text,
                        const char *const *reference, int64_t count) {
    token_lists l = {0};
    int64_t *order = NULL;
    int32_t *ids = NULL;
    pair_batch batch;
    if (count < 1) return STATUS_OK;
    status rc = encode_all(b, &l, text, reference, count);
    if (!rc) rc = mem_new(&order, count, "texts");
    if (!rc) rc = mem_new(&ids, b->rows, "a batch's tokens");
    if (!rc) rc = order_pairs(order, &l, count);
    for (int64_t at = 0; at < count && !rc;) {
        at = fill(&batch, b, &l, order, at, count);
        rc = run_batch(b, &batch, &l, ids);
        if (!rc) score_batch(b, &batch, ids, score);
    }
    mem_free(ids);
    mem_free(order);
    mem_free(l.first);
    buffer_free(&l.ids);
    return rc;
}
